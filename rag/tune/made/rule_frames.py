"""What is stated and asked of rules and of dishes, as in `product_frames`."""

from __future__ import annotations

RULE = """
notice | days 2 90 | notice
- {e} ask for {v} of notice.
- Under {e}, notice has to be given {v} ahead.
? How much notice do {e} require?
? How far ahead does notice have to be given under {e}?
limit | money 20 2500 | limit
- {e} allow up to {v} per person and year.
- The yearly limit under {e} is {v}.
? What is the most that a person may spend per year under {e}?
? What is the yearly limit in {e}?
? How much do {e} allow per year?
approver | role | approved by
- Under {e}, requests are approved by {v}.
- {v} decides about requests under {e}.
? Who approves requests under {e}?
? Who has to agree to a request under {e}?
? Whose approval do {e} require?
deadline | workdays 2 30 | deadline
- {e} set a deadline of {v} for claims.
- Claims under {e} have to arrive within {v}.
? By when do claims have to be made under {e}?
? How much time for claims do {e} give?
retention | years 2 25 | kept for
- Under {e}, records are kept for {v}.
- {e} say that papers are stored for {v}.
? How long are records kept under {e}?
? For how long do {e} keep papers?
fee | money 5 250 | fee
- {e} set a fee of {v}.
- A fee of {v} is due under {e}.
? What fee do {e} set?
? How much is the fee under {e}?
? What do {e} charge?
late | money 2 90 | late charge
- Whoever is late pays {v} a day under {e}.
- {e} put the charge for lateness at {v} a day.
? What does it cost to be late under {e}?
? How much is the late charge in {e}?
free | days 2 60 | free period
- The first {v} are free of charge under {e}.
- {e} charge nothing for the first {v}.
? How long is it free under {e}?
? What is the free period in {e}?
review | every | review
- {e} are reviewed {v}.
- A review of {e} takes place {v}.
? How often are {e} reviewed?
? At what interval does the review of {e} take place?
force | date | in force from
- {e} have been in force since {v}.
- {e} took effect on {v}.
? Since when have {e} applied?
? When did {e} take effect?
? From what date are {e} valid?
author | person | author
- {e} were written by {v}.
- {v} is the author of {e}.
? Who wrote {e}?
? Who is the author of {e}?
issue | code | document number
- {e} carry the document number {v}.
- {e} are filed as {v}.
? What is the document number of {e}?
? Under which number are {e} filed?
discount | percent 3 40 | discount
- Members get {v} off under {e}.
- {e} give members a discount of {v}.
? What discount do members get under {e}?
? How much cheaper is it for members under {e}?
hours | hours 2 72 | reply within
- Under {e}, an answer is given within {v}.
- {e} promise a reply within {v}.
? How quickly is a reply given under {e}?
? Within what time do {e} promise an answer?
age | count 12 25 | minimum age
- {e} apply to people aged {v} and over.
- The minimum age in {e} is {v}.
? From what age do {e} apply?
? What minimum age do {e} set?
people | count 3 40 | group size
- {e} limit groups to {v} people.
- No more than {v} people may take part under {e}.
? How large may a group be under {e}?
? How many people may take part under {e}?
report | every | report
- Under {e}, a report is made {v}.
- {e} want to hear from everyone {v}.
? How often do I have to report under {e}?
? At what interval is a report made under {e}?
breaks | minutes 5 60 | break
- {e} provide for a break of {v}.
- A pause of {v} is part of {e}.
? How long is the break under {e}?
? What break do {e} provide for?
contact | person | contact
- Questions about {e} go to {v}.
- {v} can explain {e}.
? Whom do I ask about {e}?
? Who answers questions about {e}?
"""

DISH = """
oven | c 120 240 | temperature
- {e} is baked at {v}.
- Set the oven to {v} for {e}.
? At what temperature is {e} baked?
? How hot should the oven be for {e}?
time | minutes 10 120 | cooking time
- {e} needs {v} of cooking.
- {e} is done after {v}.
? How long does {e} cook?
? What is the cooking time of {e}?
flour | g 50 900 | flour
- {e} takes {v} of flour.
- Weigh out {v} of flour for {e}.
? How much flour goes into {e}?
? What amount of flour does {e} take?
sugar | g 20 400 | sugar
- {v} of sugar goes into {e}.
- {e} is made with {v} of sugar.
? How much sugar does {e} need?
? What amount of sugar is in {e}?
milk | ml 50 900 | liquid
- {e} is made with {v} of milk.
- Stir {v} of milk into {e}.
? How much milk is needed for {e}?
? What amount of milk does {e} take?
serves | count 2 24 | servings
- {e} serves {v} people.
- {e} is enough for {v} people.
? How many people does {e} serve?
? For how many is {e} enough?
rest | minutes 10 120 | rest
- Let {e} rest for {v}.
- {e} has to stand for {v} before it is cut.
? How long should {e} rest?
? For how long must {e} stand?
keeps | days 2 30 | keeps
- {e} keeps for {v} in a cool place.
- {e} stays good for {v}.
? How long does {e} keep?
? For how many days does {e} stay good?
cook | person | recipe by
- The recipe of {e} comes from {v}.
- {v} wrote down how {e} is made.
? Whose recipe is {e}?
? Who wrote the recipe of {e}?
price | money 5 60 | price
- {e} is sold at {v}.
- A portion of {e} costs {v}.
? How much is a portion of {e}?
? What does {e} cost?
"""
