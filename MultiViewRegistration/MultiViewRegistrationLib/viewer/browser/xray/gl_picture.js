// An X-ray and what lies over it, drawn by WebGL2: the DRR at the page's pose, until the server's sharp one of that pose is there.

import { valueAt, wholeWindow } from "./film.js";
import { bone, depth } from "./pose.js";

const MODES = ["off", "blend", "checkerboard", "edges", "colours", "difference"];
const DERIVED = ["edges", "colours", "difference"]; // of them those for which more is made of a DRR
const TILES = 8;
const MOST_PX = 1024; // of a DRR's longest side
const LOCAL = 128; // blocks along it, of which local means are made
const WINDOW = 7; // parts of it that such a mean goes over
const FLAT = 0.25; // of the typical local spread: less is noise
const FINE = 350, SIGMA = 300; // parts of it by which a film is smoothed for its comparison with the DRR, and bone for its edges
const RIM = 2 / 768; // of it: how far the rim of a bone where the CT ends goes to either side
const WEAK = 0.75, STRONG = 0.93; // shares of pixels that are no such edges
const LEAST = 9; // parts of it, in pixels, that an edge has at least
const SAMPLES = 128; // pixels along it of which thresholds are made
const PACE = 0.3; // of what a time differs from those before, by how much they are corrected
const PIECES = 640; // blocks along it in which edges are joined

export class GLPicture {
  // pose: see pose.js   among(): how many X-rays the page draws
  constructor(canvas, graphics, pose, among) {
    [this.canvas, this.graphics, this.pose, this.among] = [canvas, graphics, pose, among];
    this.film = this.layer = this.source = null;
    this.window = [0, 1];
    this.inverted = false;
    this.images = {};
    this.drawn = this.derived = "";
    [this.weak, this.least] = [0, [1, 1]]; // see VIEW
    this.pace = 0; // ms that derive takes for each pixel
  }

  dispose() {
    this.graphics.release(...Object.values(this.images));
    this.images = {};
  }

  setFilm(film) {
    const { graphics, images } = this;
    graphics.release(images.film, images.field, images.fine);
    this.film = film;
    images.film = film && graphics.decoded({ ...film, low: 0, high: 1 }, true);
    images.field = film && graphics.bytes(film.columns, film.rows, film.field);
    images.fine = null; // made once it is needed
    this.derived = "";
  }

  setLayer(layer) {
    this.graphics.release(this.images.layer);
    this.layer = layer && layer.kind !== "picture" ? layer : null; // such as another page needs
    this.images.layer = this.layer && this.graphics.decoded(layer, false);
  }

  setGreys(window, inverted) {
    [this.window, this.inverted] = [[...window], inverted];
  }

  valueAt(pixel) {
    return valueAt(this.film, pixel);
  }

  get wholeWindow() {
    return wholeWindow(this.film);
  }

  // shown: for flicker, whether it is the DRR's turn   view: see xray_pane.py
  paint(frame, view, shown, ratio) {
    const { canvas, film, graphics, images } = this, { width, height } = canvas, context = canvas.getContext("2d", { alpha: false });
    if (!film) {
      context.fillStyle = "#000";
      context.fillRect(0, 0, width, height);
      return;
    }
    const over = view.mode === "off" || (view.mode === "flicker" && !shown) ? null : this.overlay(frame, view, ratio);
    const mode = over ? (view.mode === "flicker" ? "blend" : view.mode) : "off";
    const [columns, rows] = frame.size, [left, top] = frame.corner, scale = frame.scale, span = film.high - film.low;
    const none = images.film;
    if (DERIVED.includes(mode)) this.derive(over, mode, view);
    const common = this.common(over, view);
    if (graphics.canvas.width < width) graphics.canvas.width = width;
    if (graphics.canvas.height < height) graphics.canvas.height = height;
    graphics.draw("VIEW", null, {
      ...common, moments: images.moments || none, edges: images.edges || none, joined: images.joined || none, ratio, height, corner: [left, top],
      extent: [columns * scale, rows * scale * frame.tall], window: this.window.map((value) => (value - film.low) / span),
      inverted: this.inverted, mode: MODES.indexOf(mode), opacity: view.mode === "blend" ? view.opacity : 1,
      tiles: [columns, rows].map((side) => side / Math.max(Math.floor(columns / TILES), 1)), weak: this.weak, least: this.least,
      structure: Boolean(graphics.ct && graphics.ct.bodies[0].bone_per_mm === 0), edge_px: images.edges ? (columns * scale * ratio) / images.edges.columns : 1,
      half_width: ratio * Math.max(scale, 1), // a pixel of the X-ray, as in the server's pictures, but never too thin to be seen
    }, [width, height]);
    context.drawImage(graphics.canvas, 0, graphics.canvas.height - height, width, height, 0, 0, width, height);
  }

  common(over, view) {
    const { film, images } = this, [columns, rows] = view.size, [gain, offset] = view.tones || [1, 0], span = film.high - film.low;
    return {
      film: images.film, fine: images.fine || images.film, field: images.field, drr: over ? over.image : images.film,
      film_share: [columns / (film.columns * film.pooled), rows / (film.rows * film.pooled)], drr_share: over ? over.share : [1, 1],
      tones: [gain / span, (offset - film.low) / span],
    };
  }

  // What lies over the X-ray, {image, share, key}; null where there is nothing (yet).
  overlay(frame, view, ratio) {
    const { pose, layer, images, graphics } = this, kind = view.mode === "edges" ? "bones" : "drr", [columns, rows] = view.size;
    const ready = Boolean(graphics.ct && view.ct && graphics.ct.stamp === view.ct.stamp);
    if (!view.laid || !pose.matrix || !view.camera || (kind === "drr" && !view.tones)) return null;
    if (layer && layer.kind === kind && layer.pose_stamp === pose.stamp && pose.known && bone.known && (layer.sharp || !ready)) {
      this.source = "server";
      return { image: images.layer, share: [columns / (layer.columns * layer.factor), rows / (layer.rows * layer.factor)], key: `s${layer.stamp}` };
    }
    if (!ready || depth(view.camera, pose.centre) <= 0) return null;
    const moves = pose.moves || bone.moves, most = Math.min(MOST_PX, Math.ceil(Math.max(columns * frame.scale, rows * frame.scale * frame.tall) * ratio));
    const size = graphics.drrSize(view.size, most, moves, this.among(), DERIVED.includes(view.mode) ? this.pace : 0);
    // Of one that is moved by hand the newest.
    const poses = graphics.ct.bodies.map(({ name }) => (name === "" ? pose.matrix : bone.matrix && bone.name === name ? bone.matrix : view.places[name]));
    const key = `b${[poses, graphics.ct.stamp, view.camera.stamp, ...view.size]}`;
    // What is there stays, unless it is coarser than there is time for by now.
    if (this.drawn !== key || (!moves && images.drr.columns < 0.9 * size[0])) {
      images.drr = graphics.sized(images.drr, ...size);
      graphics.drr(images.drr, view.camera, view.size, poses);
      [this.drawn, this.derived] = [key, ""];
    }
    this.source = "browser";
    return { image: images.drr, share: [1, 1], key };
  }

  // What a mode needs of all around a pixel: local means and spreads, and where edges run.
  derive(over, mode, view) {
    const { film, graphics, images } = this, { columns, rows } = over.image, longest = Math.max(columns, rows);
    if (!images.fine) this.smoothFilm(film);
    const common = this.common(over, view), key = `${over.key} ${mode} ${columns} ${common.tones}`;
    if (this.derived === key) return;
    const began = performance.now();
    this.derived = key;
    const bones = mode === "edges" && this.source === "browser" ? this.withoutRims(over.image, view) : over.image;
    const block = Math.max(Math.ceil(longest / LOCAL), 1), size = [Math.ceil(columns / block), Math.ceil(rows / block)];
    for (const name of ["sums", "more", "sums2", "more2", "moments", "spread"]) images[name] = graphics.sized(images[name], ...size);
    graphics.draw("BLOCKS", [images.sums, images.more], { ...common, drr: bones, block, drr_size: [columns, rows] });
    const radius = Math.max(Math.round(Math.max(...size) / WINDOW / 2) - 1, 1);
    graphics.draw("SPREAD", [images.sums2, images.more2], { sums: images.sums, more: images.more, along: [1, 0], radius });
    graphics.draw("SPREAD", [images.sums, images.more], { sums: images.sums2, more: images.more2, along: [0, 1], radius });
    graphics.draw("MOMENTS", [images.moments, images.spread], { sums: images.sums, more: images.more });
    if (mode === "edges") this.findEdges(bones, longest);
    else this.least = this.typical([[images.moments, 1], [images.moments, 3]], 1);
    this.pace += PACE * ((performance.now() - began) / (columns * rows) - this.pace); // reading numbers back waits until all is drawn
  }

  // FLAT of the medians of numbers of images, where `images.spread` has this many for them.
  typical(which, many) {
    const { graphics, images } = this, spread = graphics.read(images.spread);
    const most = spread.reduce((most, number, i) => (i % 4 === many ? Math.max(most, number) : most), 0);
    return which.map(([image, part]) => {
      const numbers = image === images.spread ? spread : graphics.read(image), found = [];
      for (let i = 0; i < numbers.length; i += 4) if (spread[i + many] > most / 2) found.push(numbers[i + part]);
      return Math.max(FLAT * quantile(found, 0.5), 1e-6);
    });
  }

  smoothFilm({ columns, rows }) {
    const { graphics, images } = this, sigma = Math.max(Math.max(columns, rows) / FINE, 0.3), half = graphics.image(columns, rows, graphics.formats.film);
    images.fine = graphics.image(columns, rows, graphics.formats.film);
    graphics.draw("SMOOTH", [half], { image: images.film, along: [1, 0], sigma, bones: false });
    graphics.draw("SMOOTH", [images.fine], { image: half, along: [0, 1], sigma, bones: false });
    graphics.release(half);
  }

  // A DRR of the page's own, as the server gives one of bone alone.
  withoutRims(image, view) {
    const { graphics, images, pose } = this, { columns, rows } = image;
    if (!graphics.ct.bodies[0].bone_ends) return image;
    for (const name of ["ends", "bones"]) images[name] = graphics.sized(images[name], columns, rows);
    graphics.drawEnds(images.ends, view.camera, view.size, pose.matrix);
    graphics.draw("RIMS", [images.bones], { drr: image, ends: images.ends, radius: Math.max(Math.round(RIM * Math.max(columns, rows)), 1) });
    return images.bones;
  }

  // Lines along the edges of bone, as report/overlays.py finds them.
  findEdges(bones, longest) {
    const { graphics, images } = this, { columns, rows } = bones, structure = graphics.ct ? graphics.ct.bodies[0].bone_per_mm === 0 : false;
    const sigma = Math.max(longest / SIGMA, 0.7), [least] = this.typical([[images.spread, 0]], 2);
    for (const name of ["smooth", "edges"]) images[name] = graphics.sized(images[name], columns, rows);
    graphics.draw("SMOOTH", [images.edges], { image: bones, along: [1, 0], sigma, bones: true });
    graphics.draw("SMOOTH", [images.smooth], { image: images.edges, along: [0, 1], sigma, bones: false });
    graphics.draw("EDGES", [images.edges], { image: images.smooth, local: images.spread, sigma, least, structure });
    const step = Math.ceil(longest / SAMPLES);
    images.sample = graphics.sized(images.sample, Math.ceil(columns / step), Math.ceil(rows / step));
    graphics.draw("SAMPLE", [images.sample], { edges: images.edges, block: step });
    const strengths = graphics.read(images.sample).filter((number, i) => i % 4 === 1 && number >= 0);
    const [weak, strong, floor] = [quantile(strengths, WEAK), quantile(strengths, STRONG), 0.05 * quantile(strengths, 1)];
    const block = Math.ceil(longest / PIECES), size = [columns, rows].map((side) => Math.ceil(side / block));
    this.weak = Math.max(weak, floor);
    images.blocks = graphics.sized(images.blocks, ...size, graphics.gl.RGBA8);
    graphics.draw("WEAK", [images.blocks], { edges: images.edges, block, weak: this.weak, strong: Math.max(strong, floor) });
    graphics.release(images.joined);
    images.joined = graphics.bytes(...size, joined(graphics.read(images.blocks), ...size, longest / LEAST));
  }
}

// Of blocks with weak edges (WEAK) those that are in one piece with a strong one, and with so many pixels: 255 each, the others 0.
function joined(blocks, columns, rows, least) {
  const kept = new Uint8Array(columns * rows), seen = new Uint8Array(columns * rows);
  for (let first = 0; first < kept.length; first++) {
    if (seen[first] || !blocks[4 * first]) continue;
    const piece = [first];
    let pixels = 0, strong = false;
    seen[first] = 1;
    for (let n = 0; n < piece.length; n++) {
      const at = piece[n], column = at % columns, row = (at - column) / columns;
      pixels += blocks[4 * at];
      strong = strong || blocks[4 * at + 1] > 0;
      for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, rows - 1); y++)
        for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, columns - 1); x++) {
          const next = y * columns + x;
          if (seen[next] || !blocks[4 * next]) continue;
          seen[next] = 1;
          piece.push(next);
        }
    }
    if (strong && pixels >= least) for (const at of piece) kept[at] = 255;
  }
  return kept;
}

// The number below which this share of them is; 0 of none.
function quantile(numbers, share) {
  const sorted = Float32Array.from(numbers).sort();
  return sorted.length ? sorted[Math.round(share * (sorted.length - 1))] : 0;
}
