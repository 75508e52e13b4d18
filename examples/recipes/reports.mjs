// Reports whose right summary is known: small talk with one piece of news somewhere in it, told in many words; the summary says it in few. Made from a seed.
const NAMES = [
  'Anna',
  'Boris',
  'Clara',
  'David',
  'Elena',
  'Felix',
  'Greta',
  'Hugo',
  'Irene',
  'Jonas',
  'Karin',
  'Leo',
  'Maria',
  'Nils',
  'Olga',
  'Paul',
];
const PLACES = [
  'Berlin',
  'Cairo',
  'Dublin',
  'Geneva',
  'Lagos',
  'Lima',
  'Madrid',
  'Oslo',
  'Paris',
  'Quito',
  'Rome',
  'Seoul',
  'Tokyo',
  'Vienna',
];
const THINGS = ['a bakery', 'a bridge', 'a museum', 'a school', 'a small theatre', 'a garden', 'a library', 'a workshop'];
const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const TALK = [
  (p) => `The weather in ${p(PLACES)} was mild.`,
  (p) => `${p(NAMES)} spoke about the old days for a while.`,
  (p) => `Nobody from ${p(PLACES)} had much to add.`,
  (p) => `On ${p(DAYS)} the streets were quiet.`,
  (p) => `${p(NAMES)} and ${p(NAMES)} had tea.`,
  (p) => `It is said that ${p(NAMES)} likes ${p(PLACES)}.`,
  () => 'A few people asked questions.',
  (p) => `${p(NAMES)} walked past ${p(THINGS)}.`,
];
const NEWS = [
  [
    (n) => `After long preparations ${n.name} has on ${n.day} at last opened ${n.thing} in ${n.place}.`,
    (n) => `${n.name} opened ${n.thing} in ${n.place} on ${n.day}.`,
  ],
  [
    (n) => `What everybody had waited for came true on ${n.day}, when ${n.name} sold ${n.thing} to the city of ${n.place}.`,
    (n) => `${n.name} sold ${n.thing} to ${n.place} on ${n.day}.`,
  ],
  [
    (n) => `In ${n.place}, as was made known on ${n.day}, ${n.thing} will have to be closed by ${n.name}.`,
    (n) => `${n.name} closes ${n.thing} in ${n.place}.`,
  ],
  [
    (n) => `The council of ${n.place} let it be known that ${n.name} won the prize for ${n.thing}.`,
    (n) => `${n.name} won a prize in ${n.place} for ${n.thing}.`,
  ],
];

/** Numbers below n from a seed (mulberry32). */
function drawer(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

/** `count` different reports { source, target } of four to eight sentences. */
export function makeReports(count, seed) {
  const draw = drawer(seed);
  const pick = (list) => list[draw(list.length)];
  const reports = new Map();
  while (reports.size < count) {
    const news = { name: pick(NAMES), place: pick(PLACES), thing: pick(THINGS), day: pick(DAYS) };
    const [told, summary] = pick(NEWS);
    const sentences = Array.from({ length: 3 + draw(5) }, () => pick(TALK)(pick));
    sentences.splice(draw(sentences.length + 1), 0, told(news));
    reports.set(sentences.join(' '), summary(news));
  }
  return [...reports].map(([source, target]) => ({ source, target }));
}
