// Draws the X-ray and what the server lays over it. Both come as codes or colours; greys are made here, so that a
// new window costs no round trip.

import { FIRST, LAST, LAST_COARSE, valueAt, wholeWindow } from "./film.js";

const WHITE = 235; // pure white beside a dark page dazzles
const DIMMED = 0.4; // of the X-ray where a mode shows the CT, and that has no value
const TILES = 8;

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.film = this.layer = null;
    this.window = [0, 1];
    this.inverted = false;
  }

  // {columns, rows, pooled, low, high, codes: Uint16Array}
  setFilm(film) {
    this.film = film && { ...film, canvas: blank(film) };
    this.shadeAll();
  }

  // {kind: "drr", sharp, columns, rows, factor, low, high, codes} or {kind: "picture", ..., colours: Uint8ClampedArray}; null: nothing
  setLayer(layer) {
    this.layer = layer && { ...layer, canvas: blank(layer, this.layer && this.layer.canvas) };
    if (!layer) return;
    if (layer.kind === "picture") this.layer.canvas.getContext("2d").putImageData(new ImageData(layer.colours, layer.columns, layer.rows), 0, 0);
  }

  setGreys(window, inverted) {
    if (this.window[0] === window[0] && this.window[1] === window[1] && this.inverted === inverted) return;
    [this.window, this.inverted] = [[...window], inverted];
    this.shadeAll();
  }

  shadeAll() {
    if (!this.film) return;
    this.shade(this.film, greys(this.film, LAST, this.window, this.inverted));
    if (this.layer) this.layer.shadedBy = "";
  }

  // A DRR, in those greys of the X-ray that look like it.
  shadeLayer([gain, offset]) {
    const [low, high] = [this.layer.low, this.layer.high].map((end) => gain * end + offset);
    this.shade(this.layer, greys({ low, high }, this.layer.sharp ? LAST : LAST_COARSE, this.window, this.inverted));
    this.layer.shadedBy = String([gain, offset]);
  }

  shade({ canvas, codes, columns, rows }, table) {
    const image = new ImageData(columns, rows), colours = new Uint32Array(image.data.buffer);
    for (let i = 0; i < colours.length; i++) colours[i] = table[codes[i]];
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  valueAt(pixel) {
    return valueAt(this.film, pixel);
  }

  get wholeWindow() {
    return wholeWindow(this.film);
  }

  // shown: for flicker, whether it is the DRR's turn   view: see xray_pane.py
  paint(frame, { mode, opacity, tones }, shown, ratio) {
    const context = this.canvas.getContext("2d", { alpha: false }), [width, height] = frame.view;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (!this.film) return;
    const scale = frame.scale, [left, top] = frame.corner;
    context.setTransform(ratio * scale, 0, 0, ratio * scale * frame.tall, ratio * left, ratio * top);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = ratio * scale < 0.5 ? "medium" : "low"; // medium averages, and is slow
    lay(context, this.film, this.film.pooled);
    const layer = this.layer;
    if (layer && layer.kind === "drr" && tones && String(tones) !== layer.shadedBy) this.shadeLayer(tones);
    if (!layer || mode === "off" || (mode === "flicker" && !shown)) return;
    if (mode === "checkerboard") this.layTiles(context, frame);
    else {
      context.globalAlpha = mode === "blend" ? opacity : 1;
      lay(context, layer, layer.factor);
    }
  }

  layTiles(context, frame) {
    const [columns, rows] = frame.size, side = Math.max(Math.floor(columns / TILES), 1), tiles = new Path2D();
    for (let row = 0; row * side < rows; row++)
      for (let column = (row + 1) % 2; column * side < columns; column += 2)
        tiles.rect(column * side, row * side, Math.min(side, columns - column * side), Math.min(side, rows - row * side));
    context.save();
    context.clip(tiles);
    context.globalAlpha = 1 - DIMMED;
    context.fillRect(0, 0, columns, rows);
    context.globalAlpha = 1;
    lay(context, this.layer, this.layer.factor);
    context.restore();
  }
}

function lay(context, { canvas, columns, rows }, factor) {
  context.drawImage(canvas, 0, 0, columns, rows, 0, 0, columns * factor, rows * factor);
}

function blank({ columns, rows }, again) {
  if (again && again.width === columns && again.height === rows) return again;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  return canvas;
}

// A colour, as bytes in memory, for each code; 0, which shows nothing, is transparent.
function greys({ low, high }, last, window, inverted) {
  const table = new Uint32Array(last + 1), width = Math.max(window[1] - window[0], 1e-6);
  for (let code = FIRST; code <= last; code++) {
    const share = (low + ((code - FIRST) / (last - FIRST)) * (high - low) - window[0]) / width;
    const grey = Math.round(WHITE * Math.min(Math.max(inverted ? 1 - share : share, 0), 1));
    table[code] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}
