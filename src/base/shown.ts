/**
 * Text that came from outside, as a message repeats it: its beginning, should it be long.
 * @param most characters
 */
export const shown = (text: string, most = 64): string => (text.length > most ? `${text.slice(0, most)}...` : text);
