"""What is stated and asked of contracts and of releases, as in `product_frames`."""

from __future__ import annotations

CONTRACT = """
fee | money 40 3000 | monthly fee
- {e} costs {v} a month.
- The monthly fee for {e} is {v}.
? What is paid each month for {e}?
? How much is the monthly fee for {e}?
start | date | from
- {e} starts on {v}.
- {e} runs from {v}.
? When does {e} start?
? From what date does {e} run?
end | date | until
- {e} ends on {v}.
- {e} runs out on {v}.
? Until when does {e} run?
? When does {e} end?
? What is the last day of {e}?
notice | months 2 12 | notice
- {e} can be cancelled with {v} of notice.
- To leave {e}, give {v} of notice.
? What is the notice period of {e}?
? How much notice is needed to cancel {e}?
response | hours 2 72 | response time
- Under {e} somebody comes within {v}.
- {e} guarantees a response within {v}.
? How fast is the response under {e}?
? What response time does {e} guarantee?
penalty | percent 2 30 | penalty
- If targets are missed, {e} is reduced by {v}.
- {e} provides for a penalty of {v}.
? What penalty does {e} provide for?
? How large is the penalty in {e}?
payment | days 7 90 | payment within
- Invoices under {e} are paid within {v}.
- {e} gives {v} to pay.
? Within how many days are invoices under {e} paid?
? How long is there to pay under {e}?
provider | company | provider
- {v} is the provider of {e}.
- {e} was signed with {v}.
? Who is the provider of {e}?
? With whom was {e} signed?
contact | person | contact
- {v} looks after {e}.
- The contact for {e} is {v}.
? Who looks after {e}?
? Who is the contact for {e}?
visits | every | visits
- Under {e} a visit is made {v}.
- {e} includes a visit {v}.
? How often is a visit made under {e}?
? How frequent are the visits in {e}?
liability | money 900 3000 | liability
- Liability under {e} is limited to {v}.
- {e} caps damages at {v}.
? To what sum is liability limited under {e}?
? What is the cap on damages in {e}?
court | town | court
- Disputes about {e} are heard in {v}.
- The court for {e} is that of {v}.
? Where are disputes about {e} heard?
? Which town's court is responsible for {e}?
"""

RELEASE = """
released | date | date
- {e} was released on {v}.
- {e} came out on {v}.
? When was {e} released?
? When did {e} come out?
size | mb 3 900 | download
- The download of {e} is {v}.
- {e} takes up {v}.
? How big is {e}?
? What is the download size of {e}?
memory | gb 2 64 | memory needed
- {e} needs {v} of memory.
- Computers with less than {v} cannot run {e}.
? How much memory does {e} need?
? What memory is required for {e}?
fix | code | fixes
- {e} repairs fault {v}.
- Fault {v} is gone in {e}.
? Which fault does {e} repair?
? What is fixed in {e}?
support | date | supported until
- {e} is supported until {v}.
- Support for {e} ends on {v}.
? Until when is {e} supported?
? When does support for {e} end?
install | minutes 3 90 | installation time
- Installing {e} takes {v}.
- {e} is installed in {v}.
? How long does it take to install {e}?
? What time does the installation of {e} need?
tester | person | tested by
- {v} tested {e}.
- {e} was tested by {v}.
? Who tested {e}?
? By whom was {e} checked?
timeout | minutes 2 60 | default timeout
- In {e} the timeout is set to {v}.
- {e} closes idle sessions after {v}.
? What is the timeout in {e}?
? After what time does {e} close idle sessions?
users | count 5 900 | users
- {e} serves up to {v} users.
- At most {v} users can work with {e}.
? How many users does {e} allow?
? What is the largest number of users of {e}?
backup | every | backup
- {e} makes a backup {v}.
- Data are saved {v} by {e}.
? How often does {e} make a backup?
? At what interval does {e} save data?
languages | count 3 40 | languages
- {e} is available in {v} languages.
- {e} speaks {v} languages.
? How many languages does {e} support?
? In how many languages can {e} be had?
"""
