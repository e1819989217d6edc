"""What is stated and asked of products: `- ` begins a statement, `? ` a question that it answers."""

from __future__ import annotations

PRODUCT = """
price | money 12 3000 | unit price
- {e} costs {v}.
- The list price of {e} is {v}.
- {e} is sold for {v}, packing included.
? How much is {e}?
? What is the price of {e}?
? What do you charge for {e}?
? What do I have to pay for {e}?
? What does {e} cost?
weight | kg 1 60 | weight
- {e} weighs {v}.
- At {v}, {e} can be carried by one person.
- With its packaging {e} comes to {v}.
? How heavy is {e}?
? What is the weight of {e}?
? How much does {e} weigh?
length | cm 20 240 | length
- {e} is {v} long.
- {e} measures {v} from end to end.
- {e} has a length of {v}.
? How long is {e} from end to end?
? What is the length of {e}?
? What does {e} measure end to end?
width | mm 60 900 | width
- {e} is {v} wide.
- {e} fits through an opening of {v}.
? How wide is {e}?
? What is the width of {e}?
range | m 3 60 | range
- {e} works up to a distance of {v}.
- The range of {e} is {v} in the open.
- {e} reaches as far as {v}.
? How far does {e} reach?
? What is the maximum range of {e}?
? Over what distance can {e} be used?
battery | hours 3 96 | battery life
- One charge of {e} lasts {v}.
- {e} runs for {v} on a full battery.
- Fully charged, {e} works for {v}.
? How long does the battery of {e} last?
? How long can {e} run on one charge?
? What is the battery life of {e}?
charging | minutes 15 120 | charging time
- {e} is charged in {v}.
- Charging {e} takes {v}.
? How long does it take to charge {e}?
? What is the charging time of {e}?
warranty | months 6 60 | warranty
- {e} is guaranteed for {v}.
- The warranty on {e} runs for {v} from delivery.
- {e} comes with a warranty of {v}.
? How long is the warranty on {e}?
? For how long is {e} covered?
? How long is {e} under guarantee?
power | w 20 2400 | power
- {e} draws {v} at full load.
- The power consumption of {e} is {v}.
- {e} uses {v}.
? How much power does {e} use?
? What is the power consumption of {e}?
? What does {e} draw at full load?
voltage | v 5 48 | supply voltage
- {e} needs a supply of {v}.
- {e} is fed with {v}.
? What supply voltage does {e} need?
? At what voltage does {e} run?
fuse | a 1 32 | fuse
- A fuse of {v} protects {e}.
- {e} has to be fused at {v}.
? What fuse does {e} need?
? How large is the fuse of {e}?
torque | nm 2 120 | torque
- The screws of {e} are tightened to {v}.
- Fasten the bolts of {e} with a torque of {v}.
? How tight should the bolts of {e} be?
? To what torque do I tighten the screws of {e}?
load | kg 10 90 | maximum load
- {e} carries up to {v}.
- Never load {e} with more than {v}.
- The maximum load of {e} is {v}.
? How much can {e} carry?
? What is the maximum load of {e}?
? How much weight can be put on {e}?
noise | db 28 95 | noise
- {e} makes a noise of {v} at one metre.
- In operation {e} reaches {v}.
? How loud is {e}?
? What noise level does {e} have?
volume | l 1 300 | capacity
- {e} holds {v}.
- The tank of {e} takes {v}.
- {e} has a capacity of {v}.
? What is the capacity of {e}?
? How much does {e} hold?
? How many litres fit into {e}?
pressure | bar 1 220 | pressure
- {e} works at a pressure of {v}.
- {e} is tested at {v}.
? At what pressure is {e} operated?
? What pressure does {e} have?
hottest | c 35 90 | maximum temperature
- {e} can be used up to {v}.
- Above {v}, {e} switches itself off.
? Up to what temperature can {e} be used?
? How hot may it get where {e} is used?
service | every | service interval
- {e} has to be serviced {v}.
- Have {e} checked {v} by a technician.
- The maintenance of {e} is due {v}.
? How often does {e} need servicing?
? At what interval is {e} serviced?
? How often is maintenance of {e} due?
cleaning | every | cleaning interval
- {e} must be cleaned {v}.
- Clean {e} {v} with a damp cloth.
? How often should I clean {e}?
? How often does {e} have to be cleaned?
filter | every | filter change
- The filter of {e} is changed {v}.
- Replace the filter of {e} {v}, or earlier if it is dark.
? How often is the filter of {e} replaced?
? When do I change the filter of {e}?
? At what interval does {e} get a new filter?
delivery | workdays 2 30 | lead time
- {e} is delivered within {v}.
- The lead time of {e} is {v}.
- Orders for {e} leave the house after {v}.
? How long does delivery of {e} take?
? How soon can {e} be delivered?
? What is the lead time for {e}?
launched | year | launched
- {e} has been on sale since {v}.
- {e} came on the market in {v}.
- {e} was introduced in {v}.
? When was {e} launched?
? In which year did {e} come out?
? Since when can {e} be bought?
ended | year | withdrawn
- Production of {e} will stop in {v}.
- {e} is to be withdrawn in {v}.
? When will {e} be discontinued?
? In what year does production of {e} end?
maker | company | made by
- {e} is made by {v}.
- {v} builds {e} for us.
? Who makes {e}?
? Which company manufactures {e}?
? Who is the manufacturer of {e}?
designer | person | designed by
- {e} was designed by {v}.
- {v} drew the plans of {e}.
? Who designed {e}?
? Whose design is {e}?
factory | town | made in
- {e} is assembled in {v}.
- The factory that makes {e} is in {v}.
? Where is {e} made?
? In which town is {e} assembled?
? Where does {e} come from?
material | material | material
- The housing of {e} is made of {v}.
- {e} has a body of {v}.
? What is {e} made of?
? What material is the housing of {e}?
colour | colour | colour
- {e} is supplied in {v}.
- {e} comes in {v} only.
? What colour is {e}?
? In which colour is {e} available?
part | code | part number
- {e} is ordered under the number {v}.
- The part number of {e} is {v}.
? What is the part number of {e}?
? Under which number do I order {e}?
firmware | version | firmware
- {e} is shipped with firmware {v}.
- {e} runs version {v} of the firmware.
? Which firmware does {e} have?
? What version of the firmware runs on {e}?
memory | gb 2 512 | memory
- {e} stores {v}.
- {e} is fitted with {v} of memory.
? How much memory does {e} have?
? How much can {e} store?
accuracy | mm 2 9 | accuracy
- {e} is accurate to {v}.
- The error of {e} is at most {v}.
? How accurate is {e}?
? What is the accuracy of {e}?
shelf | years 2 25 | service life
- {e} lasts {v} if it is looked after.
- {e} is expected to serve for {v}.
? How long does {e} last?
? What is the service life of {e}?
stock | count 3 90 | in stock
- There are {v} pieces of {e} in stock.
- We keep {v} of {e} in the store.
? How many pieces of {e} are in stock?
? How many of {e} do you have in store?
programs | count 3 40 | programs
- {e} offers {v} programs.
- {v} programs can be chosen on {e}.
? How many programs does {e} have?
? How many programs are there on {e}?
support | person | contact
- {v} answers questions about {e}.
- For help with {e}, turn to {v}.
? Who can help me with {e}?
? Whom do I ask about {e}?
? Who is the contact for {e}?
"""
