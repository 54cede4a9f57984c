/** Names for sandboxes that got none: an adjective and somebody whose work networks stand on. */
const words = (text: string): readonly string[] => text.split(' ');

const ADJECTIVES = words(
  'agile amber brave bright calm clever crisp daring eager fair fond gentle glad grand happy honest ' +
    'jolly keen kind lively loyal lucid merry mild neat noble patient placid proud quick quiet rapid ' +
    'ready serene sharp silent sober steady stout sunny swift tidy vivid warm wise witty young zesty',
);

const SURNAMES = words(
  'baran bell berners boggs bosack cailliau cerf clark crocker davies deering diffie donelan engelbart ' +
    'estrin feinler floyd hamming heart hellman hopper huitema jacobson kahn karels kirstein kleinrock ' +
    'lamarr lamport lerner licklider lovelace metcalfe mockapetris moy nagle perlman postel pouzin reed ' +
    'rekhter ritchie roberts shannon stevens taylor thompson walden',
);

/** @param taken says whether a name is in use; after a few collisions a number is appended, so it always ends. */
export function autoName(taken: (name: string) => boolean, random: () => number = Math.random): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(ADJECTIVES, random)}_${pick(SURNAMES, random)}${attempt < 8 ? '' : String(Math.floor(random() * 100_000))}`;
    if (!taken(name)) return name;
  }
}

const pick = (list: readonly string[], random: () => number): string => list[Math.floor(random() * list.length)] ?? '';
