// Numbers and places in words.

const number = new Intl.NumberFormat("en");

export const count = (value, noun) => `${number.format(value)} ${noun}${value === 1 ? "" : "s"}`;

export const percent = (share) => `${Math.round(share * 100)}%`;

export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);

/** A point in time as a person writes it: today's by the hour. */
function moment(epoch) {
  const then = new Date(epoch * 1000);
  const today = then.toDateString() === new Date().toDateString();
  return then.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

/** Where a passage stands in its document: its page, or its headings. */
export function place({ pages, section }) {
  if (pages.length) {
    const [first, last] = [pages[0], pages[pages.length - 1]];
    return first === last ? `Page ${first}` : `Pages ${first} to ${last}`;
  }
  return section.join(" › ");
}

/** What an answer cost, and what had been planned if it was, as short pieces of text. */
export function cost(spent, plan) {
  if (spent.from_cache) {
    const before = [`Answered before, at ${moment(spent.answered_at)}`, seconds(spent.total_s)];
    return spent.model === "none" ? before : [...before, spent.model];
  }
  if (!spent.prompt_tokens) return [`${seconds(spent.total_s)} in all; the model was not asked`];
  const shares = [
    [spent.cached_tokens, "read before"], [spent.repaired_tokens, "read again"], [spent.computed_tokens, "read now"],
  ].filter(([tokens]) => tokens).map(([tokens, how]) => `${number.format(tokens)} ${how}`);
  return [
    spent.ttft_s === null ? null : `First word after ${seconds(spent.ttft_s)}`,
    planned(plan),
    spent.tokens_per_s === null ? null : `${spent.tokens_per_s.toFixed(0)} tokens/s`,
    `${number.format(spent.prompt_tokens)} prompt tokens: ${shares.join(", ")}`,
    `${seconds(spent.total_s)} in all`,
    spent.model,
  ].filter(Boolean);
}

function planned(plan) {
  if (!plan) return null;
  const read = `${count(plan.ranks.length, "passage")}, ${plan.num_read_before} read before`;
  const met = plan.is_met ? "" : ", which could not be met";
  return `planned for ${seconds(plan.target_s)}${met}: ${read}, ${seconds(plan.predicted_s)} expected`;
}
