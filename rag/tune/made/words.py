"""Names and things that invented documents are about."""

FIRST_NAMES = (
    "Ana Bilal Carmen Dmitri Elif Farid Greta Hiro Ines Jonas Katya Lars Mina Nadia Omar Petra Quentin Rosa Samir "
    "Tove Ulla Viktor Wanda Xavier Yusuf Zelda Amara Bruno Clara Dario Esther Felix Gwen Hassan Ingrid Jamal Kofi "
    "Leila Marco Nina Oscar Pilar Rahul Sigrid Tomas Uma Vera Walter Yara Zoran Alice Ben Chloe Daniel Emma Frank "
    "Helen Ivan Julia Kevin Laura Martin Nora Oliver Paula Rachel Simon Teresa Ahmed Beatriz Chen Deepa Emre Fatima "
    "Goran Hana Ismail Jasper Kwame Lucia Mei Nikhil Olga Pavel Rania Stefan Thandi Umberto Wei Yuki"
).split()
LAST_NAMES = (
    "Abara Brandt Castillo Dahl Eriksen Fontaine Gallo Hartmann Iqbal Jansen Kowalski Lindqvist Moreau Novak Okafor "
    "Pereira Quist Rossi Schmid Tanaka Ueda Varga Weiss Ximenes Yilmaz Zhang Ashworth Bexley Crane Dunmore Ellison "
    "Farrow Goodwin Hale Irving Jessop Kemp Langford Mercer Norton Osborne Pryor Quill Rowley Stanton Thorne Upton "
    "Vance Whitlock Yardley Achterberg Baptiste Cervantes Desai Emenike Fujita Guerrero Haddad Ivanova Jokinen Kaya "
    "Laurent Mbeki Nakamura Olsen Petrov Ramos Sato Traore Usman Vidal Wójcik Addo Bianchi Çelik Đurić Eze Ferreira"
).split()
PLACE_STARTS = (
    "Alder Ash Bal Bram Bren Cal Car Cold Dun East Elm Fal Far Glen Gran Hal Hart Hazel High Kil Kings Lan Lang Lin "
    "Long Mar Mel Mill Mor New Nor North Oak Old Pen Pine Quar Raven Red Rook Rose San Shel Silver Stan Stone Sun "
    "Tar Thorn Ul Val Ver Wal West White Win Wood Wych Yar"
).split()
PLACE_ENDS = (
    "borough bridge brook burn bury by cliff combe dale dean den don field ford gate ham haven hill holm hurst "
    "ingham land leigh ley low mere minster moor mouth ness over pool port shaw stead stow ton vale well wick "
    "wood worth"
).split()
PRODUCT_NAMES = (
    "Kestrel Osprey Falcon Marlin Otter Lynx Badger Condor Puffin Gannet Jackdaw Wren Robin Swift Raven Magpie Ibis "
    "Pelican Toucan Viper Cobra Mamba Orca Narwhal Beluga Walrus Bison Caribou Ibex Chamois Marten Stoat Ferret Vole "
    "Topaz Onyx Garnet Opal Jasper Quartz Beryl Zircon Agate Amber Atlas Orion Vega Rigel Altair Deneb Sirius Castor "
    "Pollux Titan Rhea Juno Ceres Vesta Pallas Halcyon Zephyr Mistral Sirocco Tempest Monsoon Boreas Lumen Vertex "
    "Pinnacle Summit Ridge Delta Nimbus Stratus Cirrus Aurora Solstice Equinox Meridian Zenith Nadir Polaris Comet"
).split()
PRODUCTS = (
    "heat pump;coffee grinder;pressure washer;water filter;document scanner;label printer;bench drill;tile cutter;"
    "electric bicycle;cargo trailer;hearing aid;blood pressure monitor;infusion pump;steriliser;centrifuge;"
    "microscope;spectrometer;torque wrench;air compressor;diesel generator;wind turbine;solar inverter;battery pack;"
    "smoke detector;door lock;security camera;projector;conference phone;wireless router;network switch;laptop;"
    "tablet;standing desk;office chair;bunk bed;sleeping bag;mountain tent;camping stove;head torch;life raft;"
    "outboard motor;marine radio;echo sounder;weather station;soil sensor;milking machine;seed drill;hedge trimmer;"
    "lawn mower;leaf blower;chain saw;bread oven;dough mixer;dishwasher;washing machine;tumble dryer;vacuum cleaner;"
    "air purifier;dehumidifier;floor heater;ceiling fan;telescope;drone;action camera;electric guitar;digital piano;"
    "loudspeaker;turntable;sewing machine;knitting machine;3D printer;laser cutter;kiln;potter's wheel;easel"
).split(";")
PARTS = (
    "filter;drive belt;gasket;fuse;seal ring;fan wheel;pump head;control board;power supply;carry case;wall bracket;"
    "mounting plate;charging cable;extension lead;spare blade;nozzle;hose;valve;bearing set;motor brush;lamp;lens;"
    "battery;charger;remote control;foot pedal;dust cover;tool kit;cleaning kit;drip tray;water tank;sensor head;"
    "antenna;data cable;memory module;cartridge;roller;spring set;handle;wheel set;ramp;side panel;shelf;drawer;hinge"
).split(";")
SITES = (
    "depot;library;museum;clinic;hostel;campsite;swimming pool;sports hall;warehouse;workshop;visitor centre;archive;"
    "laboratory;observatory;ferry terminal;bus garage;recycling yard;botanical garden;theatre;concert hall;bakery;"
    "dairy;quarry;fire station;training centre;call centre;guest house;mountain hut;harbour office;farm shop;gallery;"
    "planetarium;community centre;sorting office;data centre;pumping station;substation;lighthouse;nursery;canteen"
).split(";")
RULES = (
    "travel expenses;remote work;equipment loans;parking permits;meeting rooms;data retention;"
    "visitor access;purchase orders;overtime;sick leave;training courses;company cars;mobile phones;library loans;"
    "kitchen use;laboratory waste;keys and badges;complaints;refunds;returns;deliveries;subscriptions;membership;"
    "room bookings;deposits;hire of tools;storage lockers;photography;volunteers;grants;internships;"
    "procurement;password changes;backups;incident reports;fire drills;first aid;child care vouchers"
).split(";")
WORKS = (
    "roof repair;bridge inspection;server migration;office move;drainage survey;boiler replacement;website redesign;"
    "stock count;salary review;safety audit;customer survey;field trial;pilot project;software rollout;archive scan;"
    "harbour dredging;tree planting;lift renewal;window replacement;kitchen refit;playground extension;road closure;"
    "fundraising campaign;annual fair;summer school;recruitment drive;energy audit;water main repair;lighting upgrade;"
    "car park resurfacing;radio network upgrade;vaccination campaign;bird count;glacier expedition;cave survey"
).split(";")
DISHES = (
    "rye bread;lentil soup;fish stew;apple cake;plum jam;vegetable curry;beef casserole;mushroom risotto;potato gratin;"
    "walnut tart;lemon sorbet;pickled beetroot;chicken pie;bean salad;pumpkin soup;"
    "ginger beer;tomato sauce;flatbread;rice pudding;carrot cake;onion marmalade;barley broth;fruit loaf"
).split(";")
SERVICES = (
    "cleaning;catering;waste collection;lift maintenance;payroll;IT support;window cleaning;grounds maintenance;"
    "pest control;security patrol;translation;courier;printing;laundry;software hosting;telephone;insurance;"
    "vehicle leasing;machine hire;water testing;legal advice;bookkeeping;snow clearing;plant care;fire alarm"
).split(";")
ROLES = (
    "safety officer;head of finance;site manager;chief engineer;duty manager;works director;data protection officer;"
    "head of training;quality manager;treasurer;head librarian;ward sister;chief pharmacist;harbour master;"
    "stores supervisor;fleet manager;press officer;personnel manager;head gardener;night supervisor;lead developer;"
    "purchasing officer;archivist;catering manager;membership secretary;head of maintenance;laboratory manager"
).split(";")
COMPANY_ENDS = (
    "Ltd;GmbH;& Sons;Group;Systems;Partners;Works;Logistics;Engineering;Trust;Foundation;Labs;Services".split(";")
)
COLOURS = "red blue green yellow orange violet grey black white brown turquoise silver amber pink".split()
MATERIALS = (
    "stainless steel;brass;oak;birch plywood;anodised aluminium;carbon fibre;polypropylene;cast iron;toughened glass;"
    "ceramic;recycled nylon;galvanised steel;copper;cork;silicone;bamboo;leather;canvas;titanium"
).split(";")
MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LANGUAGES = "Spanish;Polish;Arabic;Portuguese;Turkish;Mandarin;Hindi;Swedish;Dutch;Greek;Welsh;Korean".split(";")
FILLERS = (
    "Most people never notice it.;The details are set out below.;This has not changed for a long time.;"
    "Questions are welcome at any time.;Please read this page to the end.;Nobody likes surprises, and we try to avoid "
    "them.;Experience has shown that this works well.;The rest is a matter of practice.;A drawing is in the appendix.;"
    "Other arrangements can be made on request.;We review this text when there is a reason to.;"
    "The usual care is expected of everyone.;This is explained further in the handbook.;It pays to plan ahead.;"
    "Some exceptions exist, and they are rare.;All of this was agreed with those concerned.;Keep this sheet with the "
    "other papers.;Feedback so far has been good.;Local rules may be stricter.;A short summary follows.;"
    "Older copies of this document should be thrown away.;The wording follows the usual template.;"
    "Further remarks can be found at the end.;Not every case can be foreseen.;The weather plays its part as well."
).split(";")
