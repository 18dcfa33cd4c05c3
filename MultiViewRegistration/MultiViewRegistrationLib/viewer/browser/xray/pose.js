// Where the CT is, and its movements by hand, as mrml/manual_pose.py has them, so that a drag needs no server. Matrices are arrays of rows;
// a camera is what xray_pixels.camera_state gives: every ray begins at source + v step, and goes along rays (u, v, 1).

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const times = (factor, a) => a.map((number) => factor * number);
const plus = (a, b) => a.map((number, i) => number + b[i]);
const minus = (a, b) => a.map((number, i) => number - b[i]);
const unit = (a) => times(1 / Math.hypot(...a), a);
const column = (matrix, which) => [matrix[0][which], matrix[1][which], matrix[2][which]];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const RADIAN = Math.PI / 180;

// A point by a transform (4, 4).
export function carried(matrix, point) {
  return [0, 1, 2].map((row) => dot(matrix[row], point) + matrix[row][3]);
}

export function depth(camera, point) {
  return dot(camera.forms[2], point) + camera.forms[2][3];
}

export function projected(camera, point) {
  const [a, b, c, d] = camera.forms.map((form) => dot(form, point) + form[3]);
  return [a / c, b / d];
}

// World mm by which a point at this depth moves with a pixel along a row, and along a column.
function pixelSteps(camera, depthMm) {
  return [times(depthMm, column(camera.rays, 0)), plus(times(depthMm, column(camera.rays, 1)), camera.step)];
}

export function mmPerPixel(camera, point) {
  return pixelSteps(camera, depth(camera, point)).map((step) => Math.hypot(...step));
}

// The unit vector from the source to a point.
function beam(camera, point) {
  return unit(minus(point, plus(camera.source, times(projected(camera, point)[1], camera.step))));
}

function moved(pose, by) {
  return pose.map((row, i) => (i < 3 ? [row[0], row[1], row[2], row[3] + by[i]] : row));
}

// Turned by a rotation vector in degrees about a point.
function turned(pose, degrees, about) {
  const angle = RADIAN * Math.hypot(...degrees);
  if (!angle) return pose;
  const axis = unit(degrees), cosine = Math.cos(angle), sine = Math.sin(angle);
  const turn = (a) => plus(plus(times(cosine, a), times(sine, cross(axis, a))), times((1 - cosine) * dot(axis, a), axis)); // Rodrigues
  let [x, y] = [turn(column(pose, 0)), turn(column(pose, 1))];
  x = unit(x); // no rounding adds up over thousands of movements
  y = unit(minus(y, times(dot(x, y), x)));
  const z = cross(x, y), shift = plus(about, turn(minus(column(pose, 3), about)));
  return [...[0, 1, 2].map((i) => [x[i], y[i], z[i], shift[i]]), [0, 0, 0, 1]];
}

// Each takes the camera, the pose, the CT's centre in the world, and numbers: pixels (columns, rows), mm along these, degrees
// counter-clockwise, degrees (right, down), mm away from the source.
export const MOVES = {
  shift(camera, pose, centre, columns, rows) {
    const [across, along] = pixelSteps(camera, depth(camera, centre));
    return moved(pose, plus(times(columns, across), times(rows, along)));
  },
  shift_mm(camera, pose, centre, right, down) {
    const [across, along] = mmPerPixel(camera, centre);
    return MOVES.shift(camera, pose, centre, right / across, down / along);
  },
  turn(camera, pose, centre, degrees) {
    return turned(pose, times(-camera.mirrored * degrees, beam(camera, centre)), centre);
  },
  tilt(camera, pose, centre, right, down) {
    return turned(pose, plus(times(camera.mirrored * down, camera.axes[0]), times(-right, camera.axes[1])), centre);
  },
  beam(camera, pose, centre, mm) {
    return moved(pose, times(mm, beam(camera, centre)));
  },
};

// The pose that all X-rays of the page show: the server's, or a newer one by hand.
export class Pose {
  constructor() {
    this.matrix = null; // world_from_ct
    this.stamp = 0; // the server's, of this pose or of the one that was moved
    this.held = new Set(); // movers with a movement that the server has not answered yet
    this.watching = new Set(); // called after each change
  }

  // The server's, unless a newer movement is on its way to it.   pose: as xray_pixels.MovablePoses has it
  follow(pose, stamp, anyway = false) {
    if (this.held.size || (!anyway && stamp <= this.stamp)) return;
    const before = this.matrix;
    [this.matrix, this.inCt, this.name, this.stamp] = [pose && pose.world_from_ct, pose && pose.centre, (pose && pose.name) || "", stamp];
    if (JSON.stringify(before) !== JSON.stringify(this.matrix)) this.changed();
  }

  get centre() {
    return this.matrix && carried(this.matrix, this.inCt);
  }

  // By one of MOVES, in an X-ray with this camera.
  move(kind, camera, numbers) {
    this.matrix = MOVES[kind](camera, this.matrix, this.centre, ...numbers);
    this.changed();
  }

  changed() {
    this.watching.forEach((seen) => seen());
  }

  // Whether the server knows this pose.
  get known() {
    return this.held.size === 0;
  }
}

export const pose = new Pose(), bone = new Pose(); // of the CT, and of the bone that is moved by hand, if one is

// What a hand moves.
export function body() {
  return bone.matrix ? bone : pose;
}
