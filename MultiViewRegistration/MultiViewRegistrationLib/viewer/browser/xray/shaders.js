// Everything that WebGL2 draws of an X-ray. Images have their first row at y = 0.

const HEAD = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler3D;
precision highp usampler2D;
`;

export const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(4.0 * float(gl_VertexID & 1) - 1.0, 2.0 * float(gl_VertexID & 2) - 1.0, 0.0, 1.0);
}`;

// The DRR as rendering/cpu.py draws it (Joseph, IEEE TMI 1982): x attenuation, y that of bone alone, z 1; all 0 where the ray has a false
// value, as it goes on through tissue where the CT was cut off (cpu.mark_unseen).
export const DRR = `${HEAD}
uniform sampler3D ct;
uniform vec3 size; // texels
uniform vec3 source, source_step; // texels, of row 0, and from row to row
uniform mat3 directions; // columns: texels per mm of depth, by u, by v, at (0, 0)
uniform mat3 world_from_texel; // mm per texel
uniform vec2 pixel; // of the X-ray, for each here
uniform float max_per_mm, bone_per_mm, tissue_per_mm, unseen_mm, far_mm;
uniform int cut; // a bit for each of the faces -i, +i, -j, +j, -k, +k
out vec4 drawn;

void clip(float start, float slope, float bottom, float top, inout vec2 range) {
  if (abs(slope) < 1e-9) {
    if (start < bottom || start > top) range = vec2(1.0, 0.0);
    return;
  }
  vec2 ends = (vec2(bottom, top) - start) / slope;
  range = vec2(max(range.x, min(ends.x, ends.y)), min(range.y, max(ends.x, ends.y)));
}

bool unseen(vec3 start, vec3 q) {
  float length_mm = length(world_from_texel * q), step_z = unseen_mm / (2.5 * length_mm), beyond = 0.0;
  for (int side = 0; side < 6; side++) {
    if ((cut >> side & 1) == 0) continue;
    int a = side / 2, b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
    vec2 range = vec2(0.0, far_mm);
    if ((side & 1) == 0) clip(start[a], q[a], -1e9, 1.0, range);
    else clip(start[a], q[a], size[a] - 2.0, 1e9, range);
    clip(start[b], q[b], 0.0, size[b] - 1.0, range);
    clip(start[c], q[c], 0.0, size[c] - 1.0, range);
    for (float z = range.x + 0.5 * step_z; z < range.y && beyond <= unseen_mm; z += step_z) {
      ivec3 at = ivec3(start + z * q + 0.5);
      at[a] = (side & 1) == 0 ? 1 : int(size[a]) - 2;
      if (texelFetch(ct, at, 0).r * max_per_mm > tissue_per_mm) beyond += step_z * length_mm;
    }
  }
  return beyond > unseen_mm;
}

void main() {
  vec2 uv = gl_FragCoord.xy * pixel - 0.5;
  vec3 start = source + uv.y * source_step, q = directions * vec3(uv, 1.0), steep = abs(q);
  drawn = vec4(0.0);
  if (cut != 0 && unseen(start, q)) return;
  drawn.z = 1.0;
  int a = steep.x >= steep.y && steep.x >= steep.z ? 0 : steep.y >= steep.z ? 1 : 2, b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
  vec3 slope = q / q[a], base = start - start[a] * slope;
  base[a] = 0.0;
  slope[a] = 1.0;
  vec2 range = vec2(0.0, size[a] - 1.0);
  clip(base[b], slope[b], 0.0, size[b] - 1.0, range);
  clip(base[c], slope[c], 0.0, size[c] - 1.0, range);
  if (q[a] > 0.0) range.x = max(range.x, start[a]); // nothing behind the source
  else range.y = min(range.y, start[a]);
  float first = ceil(range.x);
  int count = range.y >= range.x ? int(floor(range.y) - first) + 1 : 0;
  vec3 at = (base + first * slope + 0.5) / size, by = slope / size;
  float sum = 0.0, bones = 0.0, bone = bone_per_mm / max_per_mm;
  for (int n = 0; n < count; n++) {
    float mu = texture(ct, at + float(n) * by).r;
    sum += mu;
    bones += max(mu - bone, 0.0);
  }
  drawn.xy = vec2(sum, bones) * max_per_mm * length(world_from_texel * q) / abs(q[a]);
}`;

// Codes of 16 bits, 0 meaning nothing: of a film x its value from 0 to 1, y whether there is one; of a DRR as DRR has it.
export const DECODE = `${HEAD}
uniform usampler2D codes;
uniform float low, high;
uniform bool film;
out vec4 drawn;
void main() {
  float code = float(texelFetch(codes, ivec2(gl_FragCoord.xy), 0).r), there = min(code, 1.0);
  float value = mix(low, high, (code - 1.0) / 65534.0) * there;
  drawn = film ? vec4(value, there, 0.0, 1.0) : vec4(value, value, there, 1.0);
}`;

const SAMPLES = `
uniform sampler2D film, fine, field, drr; // fine: the film without what is finer than the DRR
uniform vec2 film_share, drr_share; // of the image, for each of their own
uniform vec2 tones; // gain and offset of a DRR in the film's scale from 0 to 1
const float SOMETHING = 0.02; // line integrals, from which on a DRR shows something

// x value, y whether there is one
vec2 film_at(sampler2D image, vec2 place) {
  vec2 found = texture(image, place * film_share).xy;
  return found.y > 0.0 ? vec2(found.x / found.y, found.y) : vec2(0.0);
}

// x whether the film is used there, y whether that is within the field's hull
vec2 field_at(vec2 place) {
  return step(vec2(0.75, 0.25), texture(field, place * film_share).xx);
}

vec2 drr_at(vec2 place) {
  vec4 found = texture(drr, place * drr_share);
  float value = found.z > 0.0 ? found.x / found.z : 0.0;
  return vec2(value * tones.x + tones.y, found.z * smoothstep(0.5 * SOMETHING, SOMETHING, value));
}
`;

// Sums over blocks of pixels: what local means and spreads are made of.
export const BLOCKS = `${HEAD}${SAMPLES}
uniform int block;
uniform vec2 drr_size;
layout(location = 0) out vec4 first; // number, film, film^2, DRR
layout(location = 1) out vec4 second; // DRR^2, number of bone's, bone, bone^2
void main() {
  first = second = vec4(0.0);
  ivec2 from = ivec2(gl_FragCoord.xy) * block;
  for (int y = 0; y < block; y++) for (int x = 0; x < block; x++) {
    vec2 at = vec2(from + ivec2(x, y)) + 0.5;
    if (at.x > drr_size.x || at.y > drr_size.y) continue;
    vec2 place = at / drr_size / drr_share, a = film_at(fine, place), b = drr_at(place);
    if (field_at(place).x > 0.0 && b.y > 0.99) {
      first += vec4(1.0, a.x, a.x * a.x, b.x);
      second.x += b.x * b.x;
    }
    vec4 bone = texelFetch(drr, ivec2(at), 0);
    if (bone.z > 0.99) second.yzw += vec3(1.0, bone.y, bone.y * bone.y);
  }
}`;

// A triangle along one axis, twice a box.
export const SPREAD = `${HEAD}
uniform sampler2D sums, more;
uniform ivec2 along;
uniform int radius;
layout(location = 0) out vec4 first;
layout(location = 1) out vec4 second;
void main() {
  first = second = vec4(0.0);
  ivec2 at = ivec2(gl_FragCoord.xy), size = textureSize(sums, 0);
  for (int n = -radius; n <= radius; n++) {
    ivec2 there = at + n * along;
    if (any(lessThan(there, ivec2(0))) || any(greaterThanEqual(there, size))) continue;
    float weight = float(radius + 1 - abs(n));
    first += weight * texelFetch(sums, there, 0);
    second += weight * texelFetch(more, there, 0);
  }
}`;

// Local means and spreads: x, y of the film, z, w of the DRR; second x: the spread of bone, y, z: how much there is for both, and for that.
export const MOMENTS = `${HEAD}
uniform sampler2D sums, more;
layout(location = 0) out vec4 first;
layout(location = 1) out vec4 second;
void main() {
  vec4 a = texelFetch(sums, ivec2(gl_FragCoord.xy), 0), b = texelFetch(more, ivec2(gl_FragCoord.xy), 0);
  vec2 mean = a.yw / max(a.x, 1e-3), spread = sqrt(max(vec2(a.z, b.x) / max(a.x, 1e-3) - mean * mean, 0.0));
  first = vec4(mean.x, spread.x, mean.y, spread.y);
  float bone = b.z / max(b.y, 1e-3);
  second = vec4(sqrt(max(b.w / max(b.y, 1e-3) - bone * bone, 0.0)), a.x, b.y, 1.0);
}`;

// Bone where the CT ends, as points (PreparedCT.cut_bone), each as large as a voxel is here.
export const ENDS_VERTEX = `${HEAD}
uniform sampler2D points; // world_from_ct is still to be applied; w: the side of a voxel, mm
uniform mat4 world_from_ct, forms; // rows of forms: see pose.js
uniform vec2 size, pixel; // of the image; of the X-ray, for each here
uniform vec3 across, along, row_step; // pose.js's pixelSteps: mm from column to column and row to row, for a mm of depth, and beside that
void main() {
  int columns = textureSize(points, 0).x;
  vec4 point = texelFetch(points, ivec2(gl_VertexID % columns, gl_VertexID / columns), 0);
  vec4 at = forms * (world_from_ct * vec4(point.xyz, 1.0));
  vec2 uv = (at.xy / at.zw + 0.5) / pixel;
  float pixel_mm = min(length(at.z * across) * pixel.x, length(at.z * along + row_step) * pixel.y);
  gl_Position = at.z > 0.0 ? vec4(2.0 * uv / size - 1.0, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = ceil(point.w / max(pixel_mm, 1e-6)) + 1.0;
}`;

export const ENDS = `${HEAD}
out vec4 drawn;
void main() {
  drawn = vec4(1.0);
}`;

// A DRR without a true value along the rims of bone where the CT ends, which are no edges of the patient (PreparedCT.drr).
export const RIMS = `${HEAD}
uniform sampler2D drr, ends;
uniform int radius;
out vec4 drawn;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy), last = textureSize(ends, 0) - 1;
  float all = 1.0, any = 0.0;
  for (int y = -radius; y <= radius; y++) for (int x = -radius; x <= radius; x++) {
    if (abs(x) + abs(y) > radius) continue;
    float end = texelFetch(ends, clamp(at + ivec2(x, y), ivec2(0), last), 0).x;
    all = min(all, end);
    any = max(any, end);
  }
  drawn = texelFetch(drr, at, 0);
  if (any > all) drawn.z = 0.0;
}`;

// An image, smoothed along one axis; bones: of a DRR that, x bone, y whether it is true, z its silhouette.
export const SMOOTH = `${HEAD}
uniform sampler2D image;
uniform ivec2 along;
uniform float sigma;
uniform bool bones;
out vec4 drawn;
void main() {
  drawn = vec4(0.0);
  ivec2 at = ivec2(gl_FragCoord.xy), last = textureSize(image, 0) - 1;
  int radius = int(ceil(3.0 * sigma));
  float all = 0.0;
  for (int n = -radius; n <= radius; n++) {
    float weight = exp(-0.5 * float(n * n) / (sigma * sigma));
    vec4 found = texelFetch(image, clamp(at + n * along, ivec2(0), last), 0);
    drawn += weight * (bones ? vec4(found.y, 1.0, step(0.02, found.y), 0.0) * found.z : found);
    all += weight;
  }
  drawn /= all;
}`;

// Where edges run (Canny, PAMI 1986; Lindeberg, IJCV 1998): x the second derivative along the gradient, whose zeros they are, y how strong
// they are against what is around, -1 where a structure has none, -2 where the CT ends, z the silhouette, w whether they are sharp, which
// ripples on a slope are not.
export const EDGES = `${HEAD}
uniform sampler2D image, local;
uniform float sigma, least;
uniform bool structure;
out vec4 drawn;
const float TRUE_SHARE = 0.88; // of what is around: no edge is nearer to where the CT ends, as report/overlays.py has it

vec4 bone(vec2 at) { // goes on beyond the CT as it ends there
  vec4 found = texture(image, at / vec2(textureSize(image, 0)));
  return found / max(found.y, 1e-3);
}

void main() {
  vec2 at = gl_FragCoord.xy, size = vec2(textureSize(image, 0));
  float v[9];
  for (int n = 0; n < 9; n++) v[n] = bone(clamp(at + vec2(n % 3 - 1, n / 3 - 1), vec2(0.5), size - 0.5)).x;
  vec2 g = 0.5 * vec2(v[5] - v[3], v[7] - v[1]);
  float xx = v[5] - 2.0 * v[4] + v[3], yy = v[7] - 2.0 * v[4] + v[1], xy = 0.25 * (v[8] - v[6] - v[2] + v[0]);
  float square = max(dot(g, g), 1e-20), second = (g.x * g.x * xx + 2.0 * g.x * g.y * xy + g.y * g.y * yy) / square;
  float here = texture(image, at / size).y, silhouette = bone(at).z, far = max(sigma, 1.0);
  vec2 by = far * g / sqrt(square);
  float third = (bone(at + 2.0 * by).x - 2.0 * bone(at + by).x + 2.0 * bone(at - by).x - bone(at - 2.0 * by).x) / (2.0 * far * far * far);
  float sharp = -third * sigma * sigma / sqrt(square); // 1 of a blurred step
  float strength = length(g) / max(texture(local, at / size).x, least);
  bool inside = !structure || silhouette > 0.999;
  drawn = vec4(second, here < TRUE_SHARE ? -2.0 : inside ? strength : -1.0, silhouette, sharp > 0.1 ? 1.0 : 0.0);
}`;

// A pixel of each block: what thresholds are made of.
export const SAMPLE = `${HEAD}
uniform sampler2D edges;
uniform int block;
out vec4 drawn;
void main() {
  drawn = texelFetch(edges, min(ivec2(gl_FragCoord.xy) * block + block / 2, textureSize(edges, 0) - 1), 0);
}`;

const LINES = `
const float HALF_WIDTH = 1.0; // of a line, in the pixels of an image

// How much of a line there is where a value is zero
float line(float value, float slope, float width) {
  return clamp(width + 0.5 - abs(value) / max(slope, 1e-9), 0.0, 1.0);
}

float slope(sampler2D edges, ivec2 at) {
  ivec2 last = textureSize(edges, 0) - 1;
  float right = texelFetch(edges, min(at + ivec2(1, 0), last), 0).x, left = texelFetch(edges, max(at - ivec2(1, 0), ivec2(0)), 0).x;
  float below = texelFetch(edges, min(at + ivec2(0, 1), last), 0).x, above = texelFetch(edges, max(at - ivec2(0, 1), ivec2(0)), 0).x;
  return 0.5 * length(vec2(right - left, below - above));
}
`;

// Weak edges, in blocks: x how many of their pixels, of 255, y whether one of them is strong.
export const WEAK = `${HEAD}${LINES}
uniform sampler2D edges;
uniform int block;
uniform float weak, strong;
out vec4 drawn;
void main() {
  drawn = vec4(0.0);
  ivec2 from = ivec2(gl_FragCoord.xy) * block, size = textureSize(edges, 0);
  for (int y = 0; y < block; y++) for (int x = 0; x < block; x++) {
    ivec2 at = from + ivec2(x, y);
    if (at.x >= size.x || at.y >= size.y) continue;
    vec4 here = texelFetch(edges, at, 0);
    if (here.y <= weak || here.w < 0.5 || line(here.x, slope(edges, at), HALF_WIDTH) <= 0.0) continue;
    drawn.xy = vec2(drawn.x + 1.0 / 255.0, max(drawn.y, step(strong, here.y)));
  }
}`;

// The X-ray in a view, and what lies over it.
export const VIEW = `${HEAD}${SAMPLES}${LINES}
uniform sampler2D moments, edges, joined; // joined: weak edges that go on as strong ones
uniform float ratio, height; // device pixels: for each of CSS, and of the view
uniform vec2 corner, extent; // of the image, CSS pixels
uniform vec2 window; // in the film's scale
uniform bool inverted;
uniform int mode; // 0 the X-ray, 1 blend, 2 checkerboard, 3 edges, 4 colours, 5 difference
uniform float opacity;
uniform vec2 tiles; // in the image
uniform float weak; // of an edge: none is drawn below
uniform vec2 least; // local spread of film and DRR: flat areas are noise
uniform bool structure;
uniform float edge_px, half_width; // view's pixels: for each of the edges' image, and of a line
out vec4 shown;

const float WHITE = 235.0 / 255.0; // pure white beside a dark page dazzles
const float DIMMED = 0.4; // of the X-ray where a mode shows the CT, and that has no value
const vec3 ORANGE = vec3(255.0, 165.0, 20.0) / 255.0, BLUE = vec3(86.0, 180.0, 233.0) / 255.0, NEUTRAL = vec3(24.0, 26.0, 29.0) / 255.0;

float grey(float value) {
  float share = (value - window.x) / (window.y - window.x);
  return clamp(inverted ? 1.0 - share : share, 0.0, 1.0);
}

void main() {
  vec2 css = vec2(gl_FragCoord.x, height - gl_FragCoord.y) / ratio, place = (css - corner) / extent;
  bool inside = all(greaterThanEqual(place, vec2(0.0))) && all(lessThanEqual(place, vec2(1.0)));
  vec2 a = film_at(film, place); // outside, too, where derivatives are needed
  shown = vec4(0.0, 0.0, 0.0, 1.0);
  if (!inside) return;
  float xray = a.y * grey(a.x);
  shown.rgb = vec3(WHITE * xray);
  if (mode == 0) return;
  vec2 b = drr_at(place);
  float ct = grey(b.x);
  if (mode == 1) shown.rgb = vec3(WHITE * mix(xray, ct, opacity * b.y));
  else if (mode == 2) {
    ivec2 tile = ivec2(place * tiles);
    if (((tile.x + tile.y) & 1) == 1) shown.rgb = vec3(WHITE * mix(DIMMED * xray, ct, b.y));
  } else if (mode == 3) {
    vec2 size = vec2(textureSize(edges, 0)), one = 1.0 / size;
    vec4 here = texture(edges, place);
    vec4 right = texture(edges, place + vec2(one.x, 0.0)), left = texture(edges, place - vec2(one.x, 0.0));
    vec4 below = texture(edges, place + vec2(0.0, one.y)), above = texture(edges, place - vec2(0.0, one.y));
    vec2 slopes = 0.5 * vec2(length(vec2(right.x - left.x, below.x - above.x)), length(vec2(right.z - left.z, below.z - above.z)));
    float drawn = here.y > weak && here.w > 0.5 && texture(joined, place).x > 0.0 ? line(here.x, slopes.x / edge_px, half_width) : 0.0;
    if (structure && here.y > -1.5) drawn = max(drawn, line(here.z - 0.5, slopes.y / edge_px, half_width) * step(0.02, here.z));
    shown.rgb = mix(shown.rgb, ORANGE, drawn * field_at(place).y);
  } else {
    vec4 local = texture(moments, place);
    float both = field_at(place).x * b.y;
    float normal = (b.x - local.z) / max(local.w, least.y);
    vec3 seen;
    if (mode == 4) {
      float other = grey(local.x + normal * local.y), middle = 0.5 * (xray + other), apart = xray - other;
      seen = WHITE * clamp((middle + apart) * ORANGE + (middle - apart) * (1.0 - ORANGE), 0.0, 1.0);
    } else {
      float apart = (film_at(fine, place).x - local.x) / max(local.y, least.x) - normal;
      seen = mix(NEUTRAL, apart > 0.0 ? ORANGE : BLUE, min(0.5 * abs(apart), 1.0));
    }
    shown.rgb = mix(WHITE * DIMMED * vec3(xray), seen, both);
  }
}`;
