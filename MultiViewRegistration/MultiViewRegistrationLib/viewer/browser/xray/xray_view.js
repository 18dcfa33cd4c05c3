// <mvreg-xray>: an X-ray with the CT over it. The server says what there is to see (`view`, see xray_pane.py); pixels are fetched.

import { Frame } from "./frame.js";
import { Gestures } from "./gestures.js";
import { boneOutline, cross, landmark, line, ring, scale, sides } from "./marks.js";
import { Mover } from "./mover.js";
import { Picture } from "./picture.js";
import { body, bone, carried, depth, mmPerPixel, pose, projected } from "./pose.js";
import { template } from "./template.js";

const FLICKER_MS = 500;
const REST_MS = 300; // after the last notch of a wheel
const BONE = 0.45; // of the greys, from the dark end, is no bone

const SMALL_PX = 240; // of a view's shorter side: in a smaller one angles, case and scale would lie over the letters

const XRay = {
  template,
  props: { view: Object },

  data: () => ({
    drawn: { sides: [], lines: [], seen: "", point: "", landmarks: [], bones: [], ring: null, scale: null }, greys: [0, 1], percent: 100, hovered: null, open: false,
    dragged: "", dragText: "", announced: "", automatic: [0, 1], small: false,
  }),

  computed: {
    movable() {
      return Boolean(this.view && this.view.movable && this.view.camera);
    },
    // Of the window, in percent; 50 each as it is set automatically.
    levels() {
      const [low, high] = this.greys, [least, most] = this.automatic, span = most - least;
      const percent = (value) => Math.round(Math.min(Math.max(value, 2), 98));
      return { brightness: percent(50 - (50 * (low + high - least - most)) / 2 / span), contrast: percent((100 * span) / (span + high - low)) };
    },
    spoken() {
      const { label, title, mode_name } = this.view, text = this.movable ? this.words.about_movable : this.words.about;
      return this.fill(text, { name: label, title: title.slice(1).join(", "), mode: mode_name });
    },
  },

  watch: {
    view() {
      this.follow();
    },
  },

  // What needs no reactivity, and would be slow with it.
  created() {
    this.frame = new Frame();
    this.gestures = new Gestures(this);
    const send = (matrix, last, name) => this.ask("move", matrix, last, name);
    this.mover = new Mover(send, (answer) => this.moved(answer));
    this.farText = ""; // shown with the next picture
    this.onPose = () => {
      if (pose.known && bone.known) this.repaint(); // else the server's answer brings the picture
    };
    this.have = { film: 0, layer: 0 };
    this.fetching = this.scheduled = false;
    this.closeUp = 0;
    this.flickering = true;
  },

  mounted() {
    [pose, bone].forEach((each) => each.watching.add(this.onPose));
    this.sizes = new ResizeObserver(() => this.resized());
    this.flicker = setInterval(() => {
      this.flickering = !this.flickering;
      if (this.view && this.view.mode === "flicker") this.repaint();
    }, FLICKER_MS);
    this.follow();
  },

  beforeUnmount() {
    [pose, bone].forEach((each) => each.watching.delete(this.onPose));
    this.sizes.disconnect();
    clearInterval(this.flicker);
    clearTimeout(this.resting);
  },

  methods: {
    // With the server

    ask(what, ...args) {
      return this.trame.trigger(`${this.view.name}_${what}`, args);
    },

    // What the server says has changed.
    async follow() {
      if (!this.view) return;
      if (!this.picture || this.picture.canvas !== this.$refs.canvas) {
        await this.$nextTick(); // the canvas comes with the first view
        if (!this.$refs.canvas) return;
        if (!this.picture || this.picture.canvas !== this.$refs.canvas) this.begin();
      }
      pose.follow(this.view.pose, this.view.pose_stamp);
      bone.follow(this.view.bone, this.view.bone_stamp);
      [this.frame.size, this.frame.tall] = [this.view.size[0] ? this.view.size : [1, 1], this.view.tall];
      if (this.closeUp !== this.view.close_up.number) {
        this.closeUp = this.view.close_up.number;
        this.frame.show(this.view.close_up.pixels);
      }
      if (this.dragged !== "window") this.greys = this.view.window;
      this.picture.setGreys(this.greys, this.view.inverted);
      this.repaint();
      this.fetch();
    },

    // There is a canvas.
    begin() {
      this.picture = new Picture(this.$refs.canvas);
      this.$refs.root.xray = this; // for tests and the console
      this.have = { film: 0, layer: 0 };
      this.sizes.disconnect();
      this.sizes.observe(this.$refs.surface);
      this.resized();
      if (this.view) this.fetch();
    },

    // Fetch what there is of newer pixels, one thing at a time.
    async fetch() {
      if (this.fetching) return;
      this.fetching = true;
      try {
        while (this.view && this.picture && this.stale()) {
          if (this.view.film !== this.have.film) this.takeFilm(await this.ask("film"));
          else this.takeLayer(await this.ask("layer", this.have.layer));
        }
      } catch (error) {
        console.error(error); // the connection is gone; what comes back says again what is new
      } finally {
        this.fetching = false;
      }
    },

    stale() {
      return this.view.film !== this.have.film || (this.view.layer !== this.have.layer && !(this.view.layer < this.have.layer || this.mover.busy));
    },

    takeFilm(film) {
      this.have.film = film && film.stamp ? film.stamp : this.view.film;
      this.have.layer = 0; // its codes are those of the film
      this.picture.setFilm(film && film.stamp ? { ...film, codes: words(film.pixels) } : null);
      if (this.picture.film) this.automatic = this.picture.wholeWindow;
      this.picture.setLayer(null);
      this.repaint();
    },

    takeLayer(layer) {
      if (!layer || layer.stamp === this.have.layer || (layer.stamp && layer.stamp < this.have.layer)) return;
      this.have.layer = layer.stamp;
      const pixels = layer.stamp && (layer.kind === "picture" ? { colours: bytes(layer.pixels) } : { codes: layer.sharp ? words(layer.pixels) : bytes(layer.pixels) });
      this.picture.setLayer(layer.stamp ? { ...layer, ...pixels } : null);
      this.repaint();
    },

    move(kind, ...numbers) {
      body().move(kind, this.view.camera, numbers);
      this.mover.add();
      return numbers;
    },

    // The centre of what a hand moves in the X-ray; null where there is none in sight.
    centre() {
      const { camera } = this.view, at = body().centre;
      return camera && at && this.view.laid && depth(camera, at) > 0 ? projected(camera, at) : null;
    },

    // As marks.landmark has them; those of the CT go with it, and are left out behind the source.
    landmarks() {
      const { camera, landmarks } = this.view;
      return landmarks.flatMap(({ name, at, in_ct }) => {
        if (at) return [landmark(this.frame, name, "clicked", at)];
        const point = pose.matrix && camera && carried(pose.matrix, in_ct);
        return point && depth(camera, point) > 0 ? [landmark(this.frame, name, "ct", projected(camera, point))] : [];
      });
    },

    // How far the CT moves with a pixel along a row, and along a column; null likewise.
    mmPerPixel() {
      return this.centre() && mmPerPixel(this.view.camera, body().centre);
    },

    // How far the CT was moved.   kind: as pose.MOVES has it, or a grip.
    far(kind, [first, second]) {
      const part = (number, more, less) => this.fill(this.words[number < 0 ? less : more], { n: Math.abs(number).toFixed(1) });
      if (kind === "turn") return part(first, "turn_counter", "turn_clockwise");
      if (kind === "beam") return part(first, "beam_away", "beam_towards");
      const [mmX, mmY] = kind === "shift" ? this.mmPerPixel() : [1, 1];
      if (kind.startsWith("shift"))
        return this.fill(this.words.shift, { across: part(first * mmX, "mm_right", "mm_left"), along: part(second * mmY, "mm_down", "mm_up") });
      return this.fill(this.words.tilt, { across: part(first, "deg_right", "deg_left"), along: part(second, "deg_down", "deg_up") });
    },

    // What is written while the CT is moved: how far since the mouse went down.
    showFar(kind, numbers) {
      this.farText = this.far(kind, numbers);
    },

    moved(answer) {
      pose.follow(answer.pose, answer.now, Boolean(answer.refused));
      bone.follow(answer.bone, answer.bone_now, Boolean(answer.refused));
      pose.follow(this.view.pose, this.view.pose_stamp);
      bone.follow(this.view.bone, this.view.bone_stamp);
      if ("stamp" in answer) this.takeLayer(answer);
      this.repaint();
      this.fetch();
    },

    // The mouse, and keys

    at(event) {
      const box = this.$refs.surface.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    },

    press(event, handle = "") {
      this.$refs.surface.focus({ preventScroll: true });
      this.gestures.press(event, handle);
      this.dragged = this.gestures.drag ? this.gestures.drag.what : "";
      if (event.button === 1) event.preventDefault(); // no automatic scrolling
    },

    pointer(event) {
      this.gestures.move(event);
      if (this.gestures.drag) return;
      const pixel = this.frame.toImage(this.at(event));
      const value = this.picture && this.picture.valueAt(pixel);
      this.hovered = value === null || value === undefined ? null
        : this.fill(this.words.value, { column: Math.round(pixel[0]), row: Math.round(pixel[1]), value: this.number(value) });
    },

    release(event) {
      this.gestures.release(event);
      this.dragged = "";
    },

    toggleMove() {
      this.ask("hand");
    },

    grab(event) {
      this.$refs.surface.setPointerCapture(event.pointerId);
    },

    keydown(event) {
      const closes = event.key === "Escape" && (this.open || this.movable);
      if (closes && this.open) this.close();
      else if (closes) this.toggleMove();
      if (closes || this.gestures.key(event)) event.preventDefault();
    },

    ended() {
      this.mover.end();
      this.gestures.wheeled = 0;
      if (!this.gestures.drag) this.farText = this.dragText = "";
    },

    endSoon() {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.ended(), REST_MS);
    },

    point(pixel) {
      this.ask("point", ...pixel);
    },

    // For a screen reader.
    announce(text) {
      this.announced = text;
    },

    // How it is shown

    zoom(factor) {
      this.frame.zoomAt(factor, this.frame.view.map((side) => side / 2));
      this.repaint();
    },

    fit() {
      this.frame.fit();
      this.repaint();
    },

    // done: the server gets it, too
    setWindow(low, high, done) {
      if (!(high > low)) return;
      this.greys = [low, high];
      this.picture.setGreys(this.greys, this.view.inverted);
      this.repaint();
      if (done) this.ask("window", low, high);
    },

    setLevel(what, event, done) {
      const { brightness, contrast } = { ...this.levels, [what]: Number(event.target.value) }, [least, most] = this.automatic, span = most - least;
      const half = (span * (100 - contrast)) / contrast / 2, level = (least + most) / 2 - (span * (brightness - 50)) / 50;
      this.setWindow(level - half, level + half, done);
    },

    // What is dense has most of the greys.
    boneWindow() {
      const [least, most] = this.automatic;
      this.setWindow(least + BONE * (most - least), most, true);
    },

    resetWindow() {
      if (this.picture && this.picture.film) this.setWindow(...this.automatic, true);
    },

    invert() {
      this.ask("inverted", !this.view.inverted);
    },

    close() {
      this.open = false;
      this.$refs.surface.focus({ preventScroll: true });
    },

    number(value) {
      return value.toFixed(2);
    },

    // Painting, once a frame of the screen at most

    resized() {
      const { surface, canvas } = this.$refs;
      if (!surface || !surface.clientWidth) return;
      this.ratio = window.devicePixelRatio || 1;
      this.frame.view = [surface.clientWidth, surface.clientHeight];
      this.small = Math.min(...this.frame.view) < SMALL_PX;
      [canvas.width, canvas.height] = this.frame.view.map((side) => Math.round(side * this.ratio));
      this.paint();
    },

    repaint() {
      if (this.scheduled) return;
      this.scheduled = true;
      requestAnimationFrame(() => {
        this.scheduled = false;
        this.paint();
      });
    },

    paint() {
      if (!this.view || !this.picture) return;
      const { frame, view } = this;
      this.picture.paint(frame, view, this.flickering, this.ratio);
      [this.percent, this.dragText] = [Math.round(100 * frame.zoom), this.farText];
      this.drawn = {
        sides: sides(frame, view.sides), lines: view.lines.map((ends) => line(frame, ends)), seen: view.seen ? cross(frame.toView(view.seen)) : "",
        point: view.point ? cross(frame.toView(view.point)) : "", ring: this.movable ? ring(frame, this.centre()) : null,
        bones: view.bones.filter((one) => one.lines.length).map((one) => boneOutline(frame, one)),
        scale: this.small ? null : scale(frame, this.mmPerPixel()), landmarks: this.landmarks(),
      };
    },
  },
};

// A copy, as what comes need not lie on an even address.
function words(pixels) {
  return new Uint16Array(pixels.slice().buffer);
}

function bytes(pixels) {
  return new Uint8ClampedArray(pixels.slice().buffer);
}

window.mvreg_xray = { install: (app) => app.component("mvreg-xray", { ...XRay, mixins: [window.mvregWords] }) };
