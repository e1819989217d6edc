"""What is stated and asked of places that are open to people, as in `product_frames`."""

from __future__ import annotations

SITE = """
opens | hoursof | opening hours
- {e} is open from {v}.
- Visitors are let into {e} from {v}.
? What are the opening hours of {e}?
? When is {e} open?
? At what times can I visit {e}?
closed | weekday | closed on
- {e} is closed on {v}.
- On {v} nobody is at {e}.
? On which day is {e} shut?
? When is {e} closed?
entry | money 3 45 | admission
- Admission to {e} is {v}.
- Adults pay {v} to enter {e}.
? How much is a ticket for {e}?
? What does it cost to get into {e}?
? What is the entrance fee of {e}?
altitude | count 110 2900 | altitude in metres
- {e} lies {v} metres above the sea.
- {e} stands at an altitude of {v} metres.
? How high up is {e}?
? At what altitude does {e} stand?
beds | count 6 180 | places
- {e} has room for {v} people.
- Up to {v} people can be inside {e} at once.
? How many people fit into {e}?
? What is the capacity of {e}?
manager | person | manager
- {e} is run by {v}.
- {v} is in charge of {e}.
? Who runs {e}?
? Who is in charge of {e}?
? Who is the head of {e}?
phone | phone | extension
- {e} can be reached on extension {v}.
- The extension of {e} is {v}.
? On what number can I reach {e}?
? What is the extension of {e}?
? How do I ring {e}?
built | year | built
- {e} was built in {v}.
- {e} dates from {v}.
- The building of {e} was finished in {v}.
? When was {e} built?
? How old is the building of {e}; when was it put up?
? In which year was {e} completed?
architect | person | architect
- The plans of {e} were drawn by {v}.
- {v} was the architect of {e}.
? Who was the architect of {e}?
? Who planned {e}?
distance | km 2 90 | distance to station
- {e} is {v} from the nearest station.
- From the station to {e} it is {v}.
? How far is {e} from the station?
? What is the distance between the station and {e}?
parking | count 4 300 | parking spaces
- {e} has {v} parking spaces.
- {v} cars can park at {e}.
? How many cars can park at {e}?
? How many parking spaces does {e} have?
visitors | count 300 90000 | visitors
- {e} had {v} visitors last year.
- Last year {v} people came to {e}.
? How many people visited {e} last year?
? How many visitors did {e} have?
staff | count 3 120 | staff
- {v} people work at {e}.
- {e} employs {v} people.
? How many employees does {e} have?
? How many people work at {e}?
inspection | every | inspection
- {e} is inspected {v}.
- The fire brigade looks at {e} {v}.
? How often is {e} inspected?
? At what intervals is {e} inspected?
rent | money 200 3000 | rent
- The rent for {e} is {v} a month.
- {v} a month is paid for the use of {e}.
? What is the monthly rent of {e}?
? How much rent is paid for {e}?
town | town | place
- {e} is in {v}.
- You find {e} in {v}, beside the market.
? Where is {e}?
? In which town is {e}?
heating | c 12 24 | temperature
- {e} is kept at {v}.
- The temperature in {e} is set to {v}.
? How warm is it in {e}?
? At what temperature is {e} kept?
deliveries | time | deliveries until
- Goods for {e} are accepted until {v}.
- {e} takes deliveries until {v}.
? Until when does {e} take deliveries?
? How late can goods be brought to {e}?
renovation | date | renovated
- {e} was reopened on {v} after the works.
- The renovation of {e} ended on {v}.
? When was {e} reopened?
? When did the renovation of {e} end?
owner | company | owner
- {e} belongs to {v}.
- {v} owns {e}.
? Who owns {e}?
? To whom does {e} belong?
"""
