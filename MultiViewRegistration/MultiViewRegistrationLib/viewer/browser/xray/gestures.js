// What mouse, fingers and keys mean in an X-ray.

const CLICK = 4; // CSS pixels that a hand trembles in a click
const TILT = 0.25; // degrees for each CSS pixel
const WHEEL = 100; // a notch of a wheel, in CSS pixels
const ZOOM = 1.2; // for each notch
const NEARER = 4; // e-folds of zoom for a drag over the height of the view
const FINE = 0.1, COARSE = 1; // mm or degrees for each key
const PAN = 40; // CSS pixels for each key
const DOUBLE_MS = 220; // in which a second click makes a double click, which is the page's
const SAME_PLACE = 8; // CSS pixels
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PANS = { a: [1, 0], d: [-1, 0], w: [0, 1], s: [0, -1] };
const TURNS = { "[": 1, "{": 1, q: 1, "]": -1, "}": -1, e: -1 };
const BEAM = { PageUp: 1, PageDown: -1 };

// host: the component, which has frame, greys, view, movable, open, toggleMove(), move(kind, ...), ended(), repaint(), setWindow(low, high, done),
// point(pixel)
export class Gestures {
  constructor(host) {
    this.host = host;
    this.drag = this.clicked = null;
    this.fingers = new Map(); // where each is
  }

  // As in viewers of X-rays: the middle button pans, the right one zooms. A plain drag, or one finger, pans too; it sets greys while their box is
  // open, and moves the CT only while Move is on. Two fingers zoom and pan.   handle: of the ring, what was pressed.
  press(event, handle = "") {
    const at = this.host.at(event), { movable, open } = this.host, touch = event.pointerType === "touch";
    if (touch) {
      this.fingers.set(event.pointerId, at);
      this.host.grab(event);
      if (this.fingers.size > 1) {
        this.drag = null;
        this.host.ended();
        return;
      }
    }
    if (this.drag) return;
    const plain = movable ? "shift" : "pan", ctrl = movable ? "tilt" : "window";
    const held = event.shiftKey || event.button === 1 ? "pan" : event.ctrlKey ? ctrl : open ? "window" : plain;
    const what = event.button === 2 ? "zoom" : handle || held;
    this.drag = { what, from: at, last: at, far: false, window: [...this.host.greys], button: event.button, handle };
    this.host.grab(event);
  }

  move(event) {
    const drag = this.drag, now = this.host.at(event);
    if (this.fingers.size > 1) this.pinch(event.pointerId, now);
    if (!drag) return;
    if (!drag.far && distance(now, drag.from) < CLICK && !drag.handle) return;
    drag.far = true;
    const far = this[drag.what](drag.last, now, drag);
    if (far) {
      drag.sum = far.map((number, i) => number + (drag.sum ? drag.sum[i] : 0));
      this.host.showFar(drag.what, drag.sum);
    }
    drag.last = now;
  }

  release(event) {
    const drag = this.drag;
    this.fingers.delete(event.pointerId);
    if (!drag) return;
    this.drag = null;
    if (drag.what === "window" && drag.far) this.host.setWindow(...this.host.greys, true);
    if (!drag.far && drag.button === 0 && !drag.handle && event.type === "pointerup") this.click(drag.from);
    this.host.ended();
  }

  // A point, unless a second click makes it a double one.
  click(at) {
    const before = this.clicked;
    if (before) clearTimeout(before.timer);
    this.clicked = null;
    if (before && distance(before.at, at) < SAME_PLACE) return;
    if (before) this.host.point(before.pixel);
    const pixel = this.host.frame.toImage(at);
    const timer = setTimeout(() => {
      this.clicked = null;
      this.host.point(pixel);
    }, DOUBLE_MS);
    this.clicked = { at, pixel, timer };
  }

  // Two fingers: what was between them stays between them.
  pinch(id, now) {
    if (!this.fingers.has(id)) return;
    const measure = () => {
      const [a, b] = [...this.fingers.values()];
      return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], apart: Math.max(distance(a, b), 1) };
    };
    const before = measure();
    this.fingers.set(id, now);
    const after = measure(), { frame } = this.host;
    frame.pan(after.middle[0] - before.middle[0], after.middle[1] - before.middle[1]);
    frame.zoomAt(after.apart / before.apart, after.middle);
    this.host.repaint();
  }

  // What each does to a movement of the mouse; those that move the CT say how far, in numbers that can be added up.

  shift(before, now) {
    const [from, to] = [before, now].map((at) => this.host.frame.toImage(at));
    return this.host.move("shift", to[0] - from[0], to[1] - from[1]);
  }

  // By as much as the mouse goes round the CT's centre.
  turn(before, now) {
    const middle = this.host.frame.toView(this.host.centre());
    const [from, to] = [before, now].map((at) => Math.atan2(at[1] - middle[1], at[0] - middle[0]));
    const clockwise = ((to - from + 3 * Math.PI) % (2 * Math.PI)) - Math.PI;
    return this.host.move("turn", (-clockwise * 180) / Math.PI);
  }

  tilt(before, now) {
    return this.host.move("tilt", TILT * (now[0] - before[0]), TILT * (now[1] - before[1]));
  }

  tiltAcross(before, now) {
    return this.host.move("tilt", TILT * (now[0] - before[0]), 0);
  }

  tiltAlong(before, now) {
    return this.host.move("tilt", 0, TILT * (now[1] - before[1]));
  }

  pan(before, now) {
    this.host.frame.pan(now[0] - before[0], now[1] - before[1]);
    this.host.repaint();
  }

  // Down: nearer, about where the mouse went down.
  zoom(before, now, drag) {
    this.host.frame.zoomAt(Math.exp((NEARER * (now[1] - before[1])) / this.host.frame.view[1]), drag.from);
    this.host.repaint();
  }

  // To the right: wider, that is less contrast; down: darker.
  window(before, now, drag) {
    const [low, high] = drag.window, [width, height] = this.host.frame.view, span = high - low;
    const wide = span * Math.exp((2 * (now[0] - drag.from[0])) / width), level = (low + high) / 2 + (span * (now[1] - drag.from[1])) / height;
    this.host.setWindow(level - wide / 2, level + wide / 2, false);
  }

  wheel(event) {
    const lines = event.deltaMode === 1 ? 33 : 1, turned = (event.deltaY || event.deltaX) * lines;
    if (!turned) return;
    if (event.shiftKey) {
      if (!this.host.movable) return;
      const far = this.host.move("beam", (-turned / WHEEL) * (event.ctrlKey ? FINE : COARSE));
      this.wheeled = far.map((mm) => mm + (this.wheeled || 0))[0];
      this.host.showFar("beam", [this.wheeled]);
      this.host.endSoon();
    } else {
      this.host.frame.zoomAt(ZOOM ** (-turned / WHEEL), this.host.at(event));
      this.host.repaint();
    }
  }

  // Whether the key means anything here.
  key(event) {
    const { host } = this, key = event.key.length === 1 ? event.key.toLowerCase() : event.key, step = event.shiftKey ? COARSE : FINE;
    if (event.altKey || event.metaKey) return false;
    if (key in ARROWS && !host.movable && !event.ctrlKey) {
      host.frame.pan(...ARROWS[key].map((direction) => -PAN * direction));
      host.repaint();
    } else if (key in ARROWS) {
      const by = ARROWS[key].map((direction) => step * direction);
      this.keyMove(event.ctrlKey ? "tilt" : "shift_mm", by);
    } else if (event.ctrlKey) return false;
    else if (key in TURNS) this.keyMove("turn", [step * TURNS[key]]);
    else if (key in BEAM) this.keyMove("beam", [step * BEAM[key]]);
    else if (key in PANS) {
      host.frame.pan(...PANS[key].map((direction) => PAN * direction));
      host.repaint();
    } else if (key === "+" || key === "=") host.zoom(ZOOM);
    else if (key === "-" || key === "_") host.zoom(1 / ZOOM);
    else if (key === "0") host.fit();
    else if (key === "r") host.resetWindow();
    else if (key === "n") host.invert();
    else if (key === "m") host.toggleMove();
    else if (key === "c") host.point(host.frame.toImage(host.frame.view.map((side) => side / 2)));
    else return false;
    return true;
  }

  keyMove(kind, by) {
    if (!this.host.movable) return;
    this.host.move(kind, ...by);
    this.host.announce(this.host.far(kind, by));
  }
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
