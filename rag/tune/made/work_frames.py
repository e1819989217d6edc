"""What is stated and asked of works and of people, as in `product_frames`."""

from __future__ import annotations

WORK = """
budget | money 400 3000 | budget
- {e} has a budget of {v}.
- {v} has been set aside for {e}.
? What is the budget of {e}?
? How much money is there for {e}?
spent | money 100 2900 | spent
- So far {v} has been spent on {e}.
- {e} has used up {v} to date.
? How much has been spent on {e}?
? What has {e} cost so far?
lead | person | led by
- {e} is led by {v}.
- {v} is responsible for {e}.
? Who leads {e}?
? Who is responsible for {e}?
? Who is in charge of {e}?
start | date | start
- {e} began on {v}.
- Work on {e} started on {v}.
? When did {e} begin?
? On what date did {e} start?
end | date | end
- {e} is to be finished by {v}.
- {e} should be complete on {v}.
? When will {e} be done?
? By when should {e} be completed?
duration | weeks 2 40 | duration
- {e} takes {v}.
- {v} are planned for {e}.
? How long does {e} take?
? What is the planned duration of {e}?
delay | days 2 60 | delay
- {e} is {v} behind schedule.
- {e} has been delayed by {v}.
? How late is {e}?
? By how much has {e} been delayed?
contractor | company | contractor
- {v} was hired for {e}.
- The contractor for {e} is {v}.
? Which company carries out {e}?
? Who is the contractor for {e}?
crew | count 2 40 | people
- {v} people work on {e}.
- The team of {e} has {v} members.
? How many people work on {e}?
? How large is the team of {e}?
votes | count 3 90 | votes in favour
- {e} was approved with {v} votes.
- {v} members voted for {e}.
? How many votes did {e} get?
? How many members voted for {e}?
outage | hours 2 96 | interruption
- During {e} the supply was off for {v}.
- {e} caused an interruption of {v}.
? How long was the interruption during {e}?
? For how long was the supply off because of {e}?
next | date | next meeting
- The next meeting about {e} is on {v}.
- {e} will be discussed again on {v}.
? When is the next meeting about {e}?
? When will {e} be discussed again?
place | town | place
- {e} takes place in {v}.
- The site of {e} is in {v}.
? Where does {e} take place?
? Where is the site of {e}?
reporter | person | reported by
- The report on {e} was written by {v}.
- {v} put together the report on {e}.
? Who wrote the report on {e}?
? Who reported on {e}?
risk | percent 3 80 | risk
- The risk that {e} fails is put at {v}.
- {e} carries a risk of {v}.
? How great is the risk that {e} fails?
? What risk does {e} carry?
done | percent 5 95 | complete
- {e} is {v} complete.
- Of {e}, {v} is done.
? How much of {e} is done?
? What share of {e} is complete?
"""

PERSON = """
joined | year | joined
- {e} joined us in {v}.
- {e} has worked here since {v}.
? When did {e} join?
? Since what year has {e} worked here?
role | role | post
- {e} is {v}.
- The post of {e} is that of {v}.
? What is the post of {e}?
? What does {e} do?
? What job does {e} have?
office | town | office
- {e} works in {v}.
- The office of {e} is in {v}.
? Where does {e} work?
? In which town is the office of {e}?
phone | phone | extension
- {e} answers on extension {v}.
- {e} can be rung on {v}.
? What is the extension of {e}?
? On what number can I reach {e}?
boss | person | reports to
- {e} reports to {v}.
- {v} is the superior of {e}.
? To whom does {e} report?
? Who is the boss of {e}?
born | town | from
- {e} was born in {v}.
- {e} grew up in {v}.
? Where was {e} born?
? Where does {e} come from?
speaks | language | languages
- {e} also speaks {v}.
- {v} is the second language of {e}.
? Which other language does {e} speak?
? What is the second language of {e}?
before | company | previously at
- Before that, {e} was at {v}.
- {e} came to us from {v}.
? Where did {e} work before?
? What was the previous employer of {e}?
free | weekday | day off
- {e} is away on {v}.
- {e} does not work on {v}.
? On which day is {e} off?
? When is {e} not at work?
leave | days 12 40 | leave
- {e} has {v} of leave left.
- {v} of leave remain to {e}.
? How much leave does {e} have left?
? How many days of leave remain to {e}?
team | count 2 30 | team
- {e} leads a team of {v}.
- {v} people work for {e}.
? How many people work for {e}?
? How large is the team of {e}?
"""
