// The X-ray's pixels as they come: {columns, rows, pooled, low, high, codes: Uint16Array}, `pooled` pixels of the X-ray wide each. 0 is nothing.

export const FIRST = 1, LAST = 65535, LAST_COARSE = 255; // codes of the lowest and highest value; a DRR has 8 bits while the CT moves
const SHARES = [0.005, 0.995]; // of the pixels that a window leaves out at its ends

// The line integral at a pixel of the X-ray; null beside it.
export function valueAt(film, [u, v]) {
  if (!film) return null;
  const column = Math.floor((u + 0.5) / film.pooled), row = Math.floor((v + 0.5) / film.pooled);
  if (column < 0 || row < 0 || column >= film.columns || row >= film.rows) return null;
  const code = film.codes[row * film.columns + column];
  return code === 0 ? null : film.low + ((code - FIRST) / (LAST - FIRST)) * (film.high - film.low);
}

// The window in which nearly all of the X-ray has a grey of its own.
export function wholeWindow({ codes, low, high }) {
  const counts = new Uint32Array(LAST + 1);
  for (let i = 0; i < codes.length; i++) counts[codes[i]]++;
  const shown = codes.length - counts[0];
  return SHARES.map((share) => {
    let code = FIRST;
    for (let sum = counts[code]; sum < share * shown && code < LAST; sum += counts[code]) code++;
    return low + ((code - FIRST) / (LAST - FIRST)) * (high - low);
  });
}
