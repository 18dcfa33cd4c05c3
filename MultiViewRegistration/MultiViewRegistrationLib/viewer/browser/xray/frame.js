// What part of the X-ray is seen, and how large. Pixels (u, v) are the X-ray's, whole numbers at their middles; (x, y) are CSS pixels of the view.

const LEAST = 0.5, MOST = 40;

export class Frame {
  constructor() {
    this.size = [1, 1]; // columns, rows
    this.tall = 1; // height of a pixel over its width
    this.view = [1, 1];
    this.fit();
  }

  fit() {
    this.zoom = 1; // 1: all of the image, as large as the view allows
    this.middle = [0.5, 0.5]; // what is seen in the middle of the view, as shares of the image
  }

  // The pixels from one corner to another, as large as the view allows; all where there are none.
  show(pixels) {
    this.fit();
    if (!pixels) return;
    const [[left, top], [right, bottom]] = pixels, [columns, rows] = this.size, whole = this.scale;
    const scale = Math.min(this.view[0] / (right - left), this.view[1] / ((bottom - top) * this.tall));
    this.zoom = Math.min(Math.max(scale / whole, LEAST), MOST);
    this.middle = [((left + right) / 2 + 0.5) / columns, ((top + bottom) / 2 + 0.5) / rows];
  }

  // CSS pixels that a pixel of the X-ray is wide.
  get scale() {
    const [columns, rows] = this.size;
    return this.zoom * Math.min(this.view[0] / columns, this.view[1] / (rows * this.tall));
  }

  // Of the image's top left corner.
  get corner() {
    const scale = this.scale;
    return [this.view[0] / 2 - this.middle[0] * this.size[0] * scale, this.view[1] / 2 - this.middle[1] * this.size[1] * this.tall * scale];
  }

  toView([u, v]) {
    const scale = this.scale, [left, top] = this.corner;
    return [left + (u + 0.5) * scale, top + (v + 0.5) * scale * this.tall];
  }

  toImage([x, y]) {
    const scale = this.scale, [left, top] = this.corner;
    return [(x - left) / scale - 0.5, (y - top) / (scale * this.tall) - 0.5];
  }

  zoomAt(factor, [x, y]) {
    const before = this.toImage([x, y]);
    this.zoom = Math.min(Math.max(this.zoom * factor, LEAST), MOST);
    const after = this.toView(before);
    this.pan(x - after[0], y - after[1]);
  }

  pan(dx, dy) {
    const scale = this.scale;
    const within = (share) => Math.min(Math.max(share, 0), 1); // the image never gets lost
    this.middle = [within(this.middle[0] - dx / (this.size[0] * scale)), within(this.middle[1] - dy / (this.size[1] * this.tall * scale))];
  }
}
