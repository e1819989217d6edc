"""What papers of a house say on some subjects: `# ` begins one, `- ` a clause, `? ` a question with its answer.

The names in braces are kinds of values (`Draw.value`); a figure behind one tells it from others of the clause.
"""

from __future__ import annotations

HOUSE = """
# Travel
- Second-class rail fares are refunded in full, and first class only on journeys of more than {hours}.
? From what length of journey may I travel first class? => {hours}
? When is a first-class ticket refunded? => on journeys of more than {hours}
- A night in a hotel may cost up to {money}, breakfast included; in {town} the ceiling is {money2}.
? How expensive may a hotel room be in {town}? => {money2}
? What is the most that is refunded for a hotel outside {town}? => {money}
- Whoever drives a car of their own is given {money} for every {km}.
? What is paid to those who use a private car? => {money} for every {km}
- Receipts are handed in within {weeks} of coming home, and later ones are refused.
? How long do I have to hand in receipts? => {weeks}
? By when must I send in my bills after a trip? => within {weeks} of coming home
- Flights are booked by {person} and by nobody else, because the firm once paid for the same seat three times.
? Who books flights? => {person}
? Why may people not book flights themselves? => Because the firm once paid for the same seat three times.
- The daily allowance for meals is {money}; on the day of return it is half of that.
? What do I get for food on each day of a trip? => {money}
- Trips abroad need the consent of {role}, asked for at least {days} ahead.
? Who has to agree before I go abroad? => {role}
? How early must a trip to another country be asked for? => at least {days} ahead
# Working time
- The core hours are {time} to {time2}, when everybody can be reached.
? Between what times does everyone have to be available? => {time} to {time2}
- Extra hours are written down and taken as free time within {months}; they are paid out only if somebody leaves.
? Within what time do I have to use up extra hours? => {months}
? When is overtime paid in money? => only if somebody leaves
- After {hours} of work a pause of {minutes} is compulsory.
? How long must I pause? => {minutes}
? After how much work is a pause compulsory? => {hours}
- People may work from home on up to {count} days a year, though never in their first {months}.
? How many days a year can I work at home? => {count}
? From when on may new people work at home? => after their first {months}
- Whoever is ill rings {role} before {time} and sends a note from the doctor on day {count}.
? Whom do I call when I am ill? => {role}
? Until what time do I have to ring if I cannot come? => {time}
- The annual holiday is {days}, of which {days2} can be carried into the next year.
? How much holiday do people get in a year? => {days}
? How much leave can I take over into the new year? => {days2}
- On Christmas Eve the house closes at {time}.
? At what time does the building shut on 24 December? => {time}
# Keys and doors
- Each key is signed for at the desk of {person}; a lost one is charged at {money}.
? Where do I get a key? => at the desk of {person}
? What do I pay if I lose my key? => {money}
- The side door locks itself at {time} and opens again at {time2}.
? When does the side door lock? => {time}
? From when can the side door be used in the morning? => {time2}
- The code of the alarm is changed {every}.
? How often does the code of the alarm change? => {every}
- Visitors wear a {colour} badge, contractors a {colour2} one.
? How do I recognise a contractor? => by a {colour2} badge
? What colour are the badges of visitors? => {colour}
- The alarm has been set off by mistake {count} times this year, mostly by people who came before {time}.
? How many false alarms were there this year? => {count}
- A forgotten bag is kept for {weeks} by {role}, then given to charity.
? What happens to a bag that somebody forgot? => It is kept for {weeks} by {role}, then given to charity.
? For how long are forgotten bags kept? => {weeks}
# Fire
- The bell sounds for {minutes}; everybody leaves by the nearest stairs and gathers beside the {colour} post.
? Where do people gather when the bell sounds? => beside the {colour} post
? For how long does the bell sound? => {minutes}
- A drill is held {every}, and the last one emptied the house in {minutes}.
? How often is a drill held? => {every}
? How long did it take to empty the house in the last drill? => {minutes}
- Extinguishers weigh {kg} and are tested by {company}.
? Who tests the extinguishers? => {company}
? How heavy is an extinguisher? => {kg}
- The lifts stop at the ground floor and must not be used, because they would open where the fire is.
? Why may the lifts not be used in a fire? => Because they would open where the fire is.
- Candles are forbidden, except on the stage with the consent of {role}.
? Who can allow candles on the stage? => {role}
- The hydrant in the yard delivers {l} a second for {minutes}.
? For how long does the hydrant in the yard deliver water? => {minutes}
? How much water does the hydrant give? => {l} a second
# Computers
- A password has at least {count} signs and is changed {every}.
? How long must a password be? => at least {count} signs
? How often do I need a new password? => {every}
- After {count} wrong attempts the account is locked for {minutes}; {person} can open it at once.
? Who can unlock my account? => {person}
? How long is an account locked? => {minutes}
- Mailboxes hold {gb}, and what is older than {years} goes into the archive.
? How big is a mailbox? => {gb}
? When does mail go into the archive? => when it is older than {years}
- Laptops are replaced after {years}; the old ones are sold to staff for {money}.
? What does a used laptop cost? => {money}
? After how long do I get a new laptop? => {years}
- Private memory sticks are not allowed, since one of them brought in a virus in {year}.
? Why are private memory sticks forbidden? => Since one of them brought in a virus in {year}.
- Backups run at {time} and are kept for {weeks} in {town}.
? Where are the backups kept? => {town}
? At what time do backups run? => {time}
- Printing in colour costs {money} a page and is free for {role}.
? What does a page in colour cost? => {money}
? For whom is colour printing free? => {role}
# Library
- Books go out for {weeks} and can be renewed twice, unless somebody is waiting.
? How long can I keep a book? => {weeks}
? When can a book not be renewed? => if somebody is waiting
- Maps and scores do not leave the house; they are read in the room of {person}.
? Where can maps be read? => in the room of {person}
- A card costs {money} a year, and {money2} for pupils.
? How much is a card for pupils? => {money2}
? What is the yearly price of a card for adults? => {money}
- Bags larger than {cm} are left in the lockers, which take a coin of {money}.
? How large may a bag be? => {cm}
- The reading room is silent until {time}; after that, talking is allowed.
? From what time is talking allowed in the reading room? => {time}
- Loans from other libraries take {workdays} and cost {money} each.
? How long does a loan from another library take? => {workdays}
? What is the charge for a book from another library? => {money}
# Laboratory
- Samples are stored at minus {c} and thawed for {hours} before use.
? At what temperature are samples stored? => minus {c}
? How long are samples thawed? => {hours}
- Each series begins with {count} blanks, and a series with a blank above the limit is thrown away.
? What happens if a blank is above the limit? => The series is thrown away.
? With how many blanks does a series begin? => {count}
- Gloves are changed {every}, goggles are worn at all times.
? How often are gloves changed? => {every}
- The balance shows {mm} of drift in a hot room, so the windows stay closed while it is used.
? Why do the windows stay closed while the balance is used? => Because the balance drifts in a hot room.
- Spilled acid is covered with {g} of soda and left for {minutes}.
? What do I do with spilled acid? => Cover it with {g} of soda and leave it for {minutes}.
? How much soda is put on spilled acid? => {g}
- The oven needs {minutes} to reach {c} and is switched off by whoever leaves last.
? Who switches off the oven? => whoever leaves last
? How long does the oven take to warm up? => {minutes}
- Results are checked by {role}, signed by {person} and sent out within {workdays}.
? Who signs the results? => {person}
? Who checks results before they are signed? => {role}
? Within what time are results sent out? => {workdays}
"""
