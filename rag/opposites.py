"""Words and their opposites."""

from __future__ import annotations

_PAIRS = (
    "first last|largest smallest|most least|more fewer|oldest youngest|highest lowest|longest shortest|best worst|"
    "maximum minimum|major minor|earliest latest|early late|before after|began ended|begin end|start finish|"
    "opened closed|founded dissolved|won lost|win lose|increase decrease|increased decreased|rise fall|"
    "accepted rejected|allowed forbidden|supported opposed|support oppose|strengths weaknesses|"
    "advantages disadvantages|advantage disadvantage|northern southern|eastern western|north south|east west|"
    "public private|internal external|inner outer|positive negative|male female|men women|rich poor|high low|"
    "higher lower|large small|larger smaller|greater less|long short|hot cold|wet dry|above below|"
    "inside outside|arrived departed|always never|majority minority|success failure|"
    "successful unsuccessful|popular unpopular|common rare|easy difficult|strong weak|stronger weaker|heavy light|"
    "domestic foreign|urban rural|ancient modern|alive dead|born buried|bought sold|buy sell|friends enemies|"
    "similar different|necessary unnecessary|possible impossible|good bad|old new|fast slow|fastest slowest"
)
OPPOSITES = {word: other for pair in _PAIRS.split("|") for word, other in (pair.split(), reversed(pair.split()))}
