"""What papers of clubs, shops, councils and field parties say, as in `house_clauses`."""

from __future__ import annotations

TOWN = """
# Membership
- Adults pay {money} a year, families {money2}, and nobody pays in the first {months}.
? What is the yearly fee for a family? => {money2}
? How much do adults pay per year? => {money}
? How long is membership free at the beginning? => {months}
- New members are put forward by two others and elected at the meeting in {month}.
? When are new members elected? => at the meeting in {month}
- Whoever has not paid by {date} loses the right to vote.
? What happens to members who do not pay in time? => They lose the right to vote.
? By what date must the fee be paid? => {date}
- The committee has {count} members and meets on {weekday} at {time}.
? How many people are on the committee? => {count}
? On which day does the committee meet? => {weekday}
- To leave, write to {person}, and give {weeks} of warning.
? To whom do I write if I want to leave? => {person}
? How far ahead must I say that I am leaving? => {weeks}
- The club was founded in {year} by {person} and {person2}, who shared a boat.
? Who founded the club? => {person} and {person2}
? When did the club come into being? => {year}
- The clubhouse was bought in {year} for {money} and paid off {years} later.
? In what year did the club buy its house? => {year}
? What was paid for the clubhouse? => {money}
# Orders
- Parcels below {kg} cost {money} to send; heavier ones go by carrier at {money2}.
? What is the postage for a light parcel? => {money}
? How much is it to send a heavy parcel? => {money2}
- An order can be changed until it is packed, which is on the morning of the next working day.
? Until when can an order be changed? => until it is packed
- Goods come back to us unused within {days}, with the {colour} slip in the box.
? How long do I have to send something back? => {days}
? What has to be in the box when I return goods? => the {colour} slip
- Payment is due {days} after the invoice, less {percent} if it comes within a week.
? When is an invoice due? => {days} after the invoice
? What do I save if I pay within a week? => {percent}
- A deposit of {percent} is asked for on orders above {money}.
? How large is the deposit? => {percent}
? From what sum on is a deposit asked for? => {money}
- Damaged parcels are photographed before they are opened and reported to {person} within {hours}.
? Whom do I tell about a damaged parcel? => {person}
? What should I do first with a damaged parcel? => Photograph it before it is opened.
- Samples are free of charge, up to {count} per customer.
? How many samples does a customer get? => up to {count}
- Gift wrapping adds {money} and {days} to an order.
? What does it cost to have something wrapped as a gift? => {money}
# In the field
- Parties go out in groups of at least {count}, and the leader carries the radio.
? How many people must a party have at least? => {count}
? Who carries the radio? => the leader
- Each rope is {m} long and is thrown away after {years}, even if nothing can be seen.
? How old may a rope be? => {years}
? What is the length of a rope? => {m}
- Above a wind of {kmh} the lift stands still, and people walk the last {km}.
? At what wind is the lift stopped? => {kmh}
? How far do people walk when the lift stands still? => {km}
- The hut takes {count} people, has no telephone, and is looked after by {person}.
? Who looks after the hut? => {person}
? How many people can sleep in the hut? => {count}
- At {town} the party lost {hours} because the bridge had been washed away.
? Why did the party lose time at {town}? => Because the bridge had been washed away.
? How much time was lost at {town}? => {hours}
- Water from the spring is boiled for {minutes}, as sheep graze above it.
? Why must the spring water be boiled? => As sheep graze above it.
? How long should water from the spring be boiled? => {minutes}
- We left {town} on {date} with {count} boxes and came back with {count2}.
? How many boxes did they bring back? => {count2}
? When did they set out from {town}? => {date}
- The guide, {person}, asked for {money} a day and was worth it.
? Who was the guide? => {person}
? What did the guide cost per day? => {money}
- I recommend {product} for the next trip, because the old one could not be mended.
? What is recommended for the next trip? => {product}
? Why is something new needed for the next trip? => Because the old one could not be mended.
# Minutes
- {person} reported that {company} will deliver on {date}, {weeks} later than promised.
? By how much is {company} late? => {weeks}
? When will {company} deliver? => {date}
- It was decided by {count} votes to {count2} to spend {money} on new chairs.
? How much will be spent on chairs? => {money}
? How many voted against the chairs? => {count2}
- {person} will ask three firms for offers before {date}.
? Who is to get offers? => {person}
? By when should offers be obtained? => before {date}
- The roof leaks above the stage; {company} wants {money} to mend it.
? What does {company} ask for mending the roof? => {money}
? Where does the roof leak? => above the stage
- The accounts for {year} closed with a surplus of {money}, of which {percent} goes into the reserve.
? How large was the surplus in {year}? => {money}
? What share of the surplus is put into the reserve? => {percent}
- {person} was thanked for {years} of service and succeeded by {person2}.
? Who took over from {person}? => {person2}
? How long had {person} served? => {years}
- The next meeting is on {date} at {time} in {town}.
? Where will the next meeting be? => {town}
? When is the next meeting? => {date} at {time}
# Growing
- Sow in {month}, {cm} apart, and cover with {mm} of sand.
? How far apart should I sow? => {cm}
? In which month is it sown? => {month}
- Seedlings are watered {every} until they are {cm} high.
? How often do seedlings need water? => {every}
? How high must seedlings be before watering can stop? => {cm}
- The first harvest comes after {weeks}, the best one in the second year.
? How long is it until the first harvest? => {weeks}
? Which harvest is the best? => the one in the second year
- Below {c} the plants stop growing, and they die if the ground freezes.
? At what temperature do the plants stop growing? => {c}
? What kills the plants? => The ground freezing.
- A bed of {m} gives about {kg} of roots.
? What does a bed of {m} yield? => about {kg}
- The variety was bred by {person} in {town} and is resistant to rust.
? Who bred the variety? => {person}
? To what is the variety resistant? => rust
# Machines
- Before the first start, fill in {l} of oil and run the engine for {minutes} without load.
? How much oil is filled in before the first start? => {l}
? How long should the engine run without load at first? => {minutes}
- The belt is tight enough if it gives by {mm} under the thumb.
? How do I know that the belt is tight enough? => If it gives by {mm} under the thumb.
- Grease the bearing {every} with {g} of grease; more does harm.
? How much grease does the bearing need? => {g}
? How often is the bearing greased? => {every}
- A {colour} lamp means that the tank is empty, a {colour2} one that the pump is too hot.
? What does the {colour2} lamp mean? => the pump is too hot
? What does it mean when the {colour} lamp is on? => the tank is empty
- If the motor does not turn, wait {minutes}, then press the button on the back.
? What can I do if the motor does not turn? => Wait {minutes}, then press the button on the back.
- It was tested for {hours} at {c} and failed only once, when a mouse had eaten the cable.
? How many times did it fail in the test? => once
? Why did it fail in the test? => Because a mouse had eaten the cable.
? How long was the test? => {hours}
- The saw runs at {v} and must not be used in the rain.
? On what voltage does the saw run? => {v}
- Winter oil is needed below {c}; above that, any oil will do.
? Below what temperature is winter oil needed? => {c}
- The guard may be taken off by {role} only, and only when the plug is out.
? Who is allowed to take off the guard? => {role}
"""
