// An X-ray and what lies over it, drawn by WebGL2: the DRR at the page's pose, until the server's sharp one of that pose is there.

import { valueAt, wholeWindow } from "./film.js";
import { depth } from "./pose.js";

const MODES = ["off", "blend", "checkerboard", "edges", "colours", "difference"];
const TILES = 8;
const MOST_PX = 1024; // of a DRR's longest side
const LOCAL = 128; // blocks along it, of which local means are made
const WINDOW = 7; // parts of it that such a mean goes over
const LEAST = 0.03; // local spread, of the film's scale: flat areas are noise
const FINE = 200; // of its pixels, what is compared with the DRR: finer than that is noise
const SIGMA = 300; // of its pixels, what edges are smoothed by
const STRENGTHS = [0.12, 0.22]; // of edges: none is drawn below, all of it above

export class GLPicture {
  // pose: see pose.js   among(): how many X-rays the page draws
  constructor(canvas, graphics, pose, among) {
    [this.canvas, this.graphics, this.pose, this.among] = [canvas, graphics, pose, among];
    this.film = this.layer = this.source = null;
    this.window = [0, 1];
    this.inverted = false;
    this.images = {};
    this.drawn = this.derived = "";
  }

  dispose() {
    this.graphics.release(...Object.values(this.images));
    this.images = {};
  }

  setFilm(film) {
    this.graphics.release(this.images.film);
    this.film = film;
    this.images.film = film && this.graphics.decoded({ ...film, low: 0, high: 1 }, true);
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
    const common = this.common(over, view), none = images.film;
    if (["edges", "colours", "difference"].includes(mode)) this.derive(over, mode, common);
    if (graphics.canvas.width < width) graphics.canvas.width = width;
    if (graphics.canvas.height < height) graphics.canvas.height = height;
    graphics.draw("VIEW", null, {
      ...common, moments: images.moments || none, edges: images.edges || none, ratio, height, corner: [left, top],
      extent: [columns * scale, rows * scale * frame.tall], window: this.window.map((value) => (value - film.low) / span),
      inverted: this.inverted, mode: MODES.indexOf(mode), opacity: view.mode === "blend" ? view.opacity : 1,
      tiles: [columns, rows].map((side) => side / Math.max(Math.floor(columns / TILES), 1)), strengths: STRENGTHS,
      structure: Boolean(graphics.ct && graphics.ct.bone_per_mm === 0), edge_px: images.edges ? (columns * scale * ratio) / images.edges.columns : 1,
    }, [width, height]);
    context.drawImage(graphics.canvas, 0, graphics.canvas.height - height, width, height, 0, 0, width, height);
  }

  common(over, view) {
    const { film, images } = this, [columns, rows] = view.size, [gain, offset] = view.tones || [1, 0], span = film.high - film.low;
    return {
      film: images.film, drr: over ? over.image : images.film,
      film_share: [columns / (film.columns * film.pooled), rows / (film.rows * film.pooled)], drr_share: over ? over.share : [1, 1],
      film_lod: Math.max(Math.log2(Math.max(film.columns, film.rows) / FINE), 0), tones: [gain / span, (offset - film.low) / span],
    };
  }

  // What lies over the X-ray, {image, share, key}; null where there is nothing (yet).
  overlay(frame, view, ratio) {
    const { pose, layer, images, graphics } = this, kind = view.mode === "edges" ? "bones" : "drr", [columns, rows] = view.size;
    const ready = Boolean(graphics.ct && view.ct && graphics.ct.stamp === view.ct.stamp);
    if (!view.laid || !pose.matrix || !view.camera || (kind === "drr" && !view.tones)) return null;
    if (layer && layer.kind === kind && layer.pose_stamp === pose.stamp && pose.known && (layer.sharp || !ready)) {
      this.source = "server";
      return { image: images.layer, share: [columns / (layer.columns * layer.factor), rows / (layer.rows * layer.factor)], key: `s${layer.stamp}` };
    }
    if (!ready || depth(view.camera, pose.centre) <= 0) return null;
    const most = Math.min(MOST_PX, Math.ceil(Math.max(columns * frame.scale, rows * frame.scale * frame.tall) * ratio));
    const size = graphics.drrSize(view.size, most, pose.moves, this.among());
    const key = `b${[pose.number, graphics.ct.stamp, view.camera.stamp, ...view.size]}`;
    // What is there stays, unless it is coarser than there is time for by now.
    if (this.drawn !== key || (!pose.moves && images.drr.columns < 0.9 * size[0])) {
      images.drr = graphics.sized(images.drr, ...size);
      graphics.drr(images.drr, view.camera, view.size, pose.matrix);
      [this.drawn, this.derived] = [key, ""];
    }
    this.source = "browser";
    return { image: images.drr, share: [1, 1], key };
  }

  // What a mode needs of all around a pixel: local means and spreads, and where edges run.
  derive(over, mode, common) {
    const { graphics, images } = this, { columns, rows } = over.image, longest = Math.max(columns, rows), key = `${over.key} ${mode} ${columns} ${common.tones}`;
    if (this.derived === key) return;
    this.derived = key;
    const block = Math.max(Math.ceil(longest / LOCAL), 1), size = [Math.ceil(columns / block), Math.ceil(rows / block)];
    for (const name of ["sums", "more", "sums2", "more2", "moments", "spread"]) images[name] = graphics.sized(images[name], ...size);
    graphics.draw("BLOCKS", [images.sums, images.more], { ...common, block, drr_size: [columns, rows] });
    const radius = Math.max(Math.round(Math.max(...size) / WINDOW / 2), 1);
    graphics.draw("SPREAD", [images.sums2, images.more2], { sums: images.sums, more: images.more, along: [1, 0], radius });
    graphics.draw("SPREAD", [images.sums, images.more], { sums: images.sums2, more: images.more2, along: [0, 1], radius });
    graphics.draw("MOMENTS", [images.moments, images.spread], { sums: images.sums, more: images.more });
    if (mode !== "edges") return;
    const sigma = Math.max(longest / SIGMA, 0.7), least = LEAST / common.tones[0];
    for (const name of ["smooth", "edges"]) images[name] = graphics.sized(images[name], columns, rows);
    graphics.draw("SMOOTH", [images.edges], { image: over.image, along: [1, 0], sigma, raw: true });
    graphics.draw("SMOOTH", [images.smooth], { image: images.edges, along: [0, 1], sigma, raw: false });
    graphics.draw("EDGES", [images.edges], { image: images.smooth, local: images.spread, sigma, least });
  }
}
