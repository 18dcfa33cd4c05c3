// What is drawn over the picture in lines: handles, the linked cursor, the patient's sides. Places are CSS pixels of the view.

const GAP = 6, REACH = 22; // of a cross, which leaves in sight what it marks
const RING = 0.36, MIN_RING_PX = 60; // the ring's radius, as a share of the view's smaller side, and in CSS pixels
const GRIP = 15; // of a grip's middle from the edge of the view, at least
const ARM = 6; // of a landmark's mark
const BARS = [100, 50, 20, 10, 5, 2, 1], MAX_BAR_PX = 130; // mm, and CSS pixels
const EDGE = 14; // of the letters from the image's edge

// Four arms about a point, as the path of an SVG.
export function cross([x, y]) {
  const arms = [[1, 0], [-1, 0], [0, 1], [0, -1]];
  return arms.map(([dx, dy]) => `M${x + GAP * dx},${y + GAP * dy}L${x + REACH * dx},${y + REACH * dy}`).join("");
}

// Where a landmark is, as the path of an SVG, and its name beside it: a diagonal cross where it was clicked, a circle where the CT has it.
// of: "clicked" or "ct"   at: its pixel
export function landmark(frame, name, of, at) {
  const [x, y] = frame.toView(at), arm = ARM;
  const path = of === "ct" ? `M${x - arm},${y}a${arm},${arm} 0 1 0 ${2 * arm},0a${arm},${arm} 0 1 0 ${-2 * arm},0`
    : `M${x - arm},${y - arm}L${x + arm},${y + arm}M${x - arm},${y + arm}L${x + arm},${y - arm}`;
  return { name, of, path, x: x + arm + 4, y: of === "ct" ? y - arm : y + arm };
}

export function line(frame, ends) {
  const [[x1, y1], [x2, y2]] = ends.map((pixel) => frame.toView(pixel));
  return { x1, y1, x2, y2 };
}

// Lines, each between two pixels, as the path of an SVG.
function outline(frame, lines) {
  return lines.map((ends) => "M" + ends.map((pixel) => frame.toView(pixel).map((place) => place.toFixed(1)).join(",")).join("L")).join("");
}

// An outline with its name at its left end, where that is in sight.
export function boneOutline(frame, { name, colour, chosen, lines }) {
  const ends = lines.flat().map((pixel) => frame.toView(pixel));
  const [x, y] = ends.reduce((left, end) => (end[0] < left[0] ? end : left), [Infinity, 0]);
  return { name, colour, chosen, path: outline(frame, lines), x: x - 6, y };
}

// The ring about the CT's centre that turns it, and its four grips that tilt it; null where there is none in sight.
export function ring(frame, centre) {
  if (!centre) return null;
  const [x, y] = frame.toView(centre), [width, height] = frame.view;
  const radius = Math.max(RING * Math.min(width, height), MIN_RING_PX);
  if (x < -radius || y < -radius || x > width + radius || y > height + radius) return null;
  const within = (place, side) => Math.min(Math.max(place, GRIP), side - GRIP); // where the ring is cut off, too
  const grips = [[1, 0], [-1, 0], [0, 1], [0, -1]].map(([dx, dy]) => ({
    x: within(x + dx * radius, width), y: within(y + dy * radius, height), handle: dx ? "tiltAcross" : "tiltAlong", angle: dx ? 0 : 90,
  }));
  return { x, y, radius, grips };
}

// Letters at the left, right, top and bottom edge of what is seen of the image.
export function sides(frame, letters) {
  if (!letters) return [];
  const [[left, top], [right, bottom]] = [[-0.5, -0.5], [frame.size[0] - 0.5, frame.size[1] - 0.5]].map((pixel) => frame.toView(pixel));
  const [x0, x1] = [Math.max(left, 0), Math.min(right, frame.view[0])], [y0, y1] = [Math.max(top, 0), Math.min(bottom, frame.view[1])];
  const places = [[x0 + EDGE, (y0 + y1) / 2], [x1 - EDGE, (y0 + y1) / 2], [(x0 + x1) / 2, y0 + EDGE], [(x0 + x1) / 2, y1 - EDGE]];
  return letters.map((letter, i) => ({ letter, x: places[i][0], y: places[i][1] }));
}

// A bar of so many mm at the depth of the CT, at the lower right corner; null where that is unknown.
export function scale(frame, mmPerPixel) {
  if (!mmPerPixel) return null;
  const pixelsPerMm = frame.scale / mmPerPixel[0], [width, height] = frame.view;
  const mm = BARS.find((length) => length * pixelsPerMm <= Math.min(MAX_BAR_PX, width / 3));
  if (!mm) return null;
  const x = width - 12, y = height - 12, length = mm * pixelsPerMm;
  return { mm, path: `M${x - length},${y - 5}v5h${length}v-5`, x, y: y - 10 };
}
