// The page's one WebGL2 context, which all X-rays share, with the CT, and each bone with a pose of its own, in it as 3D textures.

import { carried, column, depth, dot, inverse, product, projected } from "./pose.js";
import {
  BLOCKS, DECODE, DRR, EDGES, ENDS, ENDS_VERTEX, MOMENTS, RIMS, SAMPLE, SMOOTH, SPREAD, VERTEX, VIEW, WEAK,
} from "./shaders.js";

const PROGRAMS = { BLOCKS, DECODE, DRR, EDGES, ENDS, MOMENTS, RIMS, SAMPLE, SMOOTH, SPREAD, VIEW, WEAK };
const SOFTWARE = /swiftshader|llvmpipe|softpipe|basic render/i; // slower than the server
const FRAME_MS = 9; // for the DRRs of a frame of the screen while the CT moves; the rest of 16 ms is for all else
const REST_MS = 90; // for each once it rests
const LEAST_PX = 96 * 96;
const POINTS = 1024; // in a row of their texture

export class Graphics {
  // null where the browser has no WebGL2, or draws it by the processor.
  static open() {
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
    if (!gl || !gl.getExtension("EXT_color_buffer_float")) return null;
    const names = gl.getExtension("WEBGL_debug_renderer_info");
    const renderer = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    if (SOFTWARE.test(renderer) && !window.mvregSoftware) return null; // mvregSoftware: tests, on computers without a graphics card
    return new Graphics(canvas, gl, renderer);
  }

  constructor(canvas, gl, renderer) {
    [this.canvas, this.gl, this.renderer] = [canvas, gl, renderer];
    const fine = gl.getExtension("OES_texture_float_linear") && gl.getExtension("EXT_float_blend");
    // Half precision where single cannot be interpolated, or added up: brightness and contrast are then a little coarser.
    this.formats = fine ? { image: gl.RGBA32F, film: gl.RG32F } : { image: gl.RGBA16F, film: gl.RG16F };
    this.programs = Object.fromEntries(Object.entries(PROGRAMS).map(([name, source]) => [name, new Program(gl, name === "ENDS" ? ENDS_VERTEX : VERTEX, source)]));
    this.frame = gl.createFramebuffer();
    this.ct = null; // {stamp, bodies: [{name, size, ..., texture}, ...]} once it is whole
    this.msPerPixel = this.drrs = 0;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.disable(gl.DITHER);
  }

  // {texture, columns, rows}
  image(columns, rows, format = this.formats.image, levels = 1) {
    const { gl } = this, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, levels, format, columns, rows);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, levels > 1 ? gl.LINEAR_MIPMAP_LINEAR : gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    return { texture, columns, rows, bytes: format === gl.RGBA8 };
  }

  // The image again where it has this size, else another in its place.
  sized(image, columns, rows, format) {
    if (image && image.columns === columns && image.rows === rows) return image;
    this.release(image);
    return this.image(columns, rows, format);
  }

  release(...images) {
    images.forEach((image) => image && this.gl.deleteTexture(image.texture));
  }

  // Run a program over one image, or several of the same size; null: over the corner of the canvas that is so large.
  // points: so many of them on nothing, instead of all over it
  draw(name, onto, values, size = [onto[0].columns, onto[0].rows], points = 0) {
    const { gl } = this, program = this.programs[name];
    gl.bindFramebuffer(gl.FRAMEBUFFER, onto ? this.frame : null);
    if (onto) {
      const places = [gl.COLOR_ATTACHMENT0, gl.COLOR_ATTACHMENT1];
      places.forEach((place, i) => gl.framebufferTexture2D(gl.FRAMEBUFFER, place, gl.TEXTURE_2D, onto[i] ? onto[i].texture : null, 0));
      gl.drawBuffers(places.slice(0, onto.length));
    }
    gl.viewport(0, 0, ...size);
    program.use(values);
    if (points) gl.clear(gl.COLOR_BUFFER_BIT);
    gl.drawArrays(points ? gl.POINTS : gl.TRIANGLES, 0, points || 3);
  }

  // Codes as they come, as an image; of a film with all its smaller sizes.
  decoded({ columns, rows, codes, low = 0, high = 1 }, film) {
    const { gl } = this, raw = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, raw);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R16UI, columns, rows);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, columns, rows, gl.RED_INTEGER, gl.UNSIGNED_SHORT, codes);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    const image = film ? this.image(columns, rows, this.formats.film, 1 + Math.floor(Math.log2(Math.max(columns, rows)))) : this.image(columns, rows);
    this.draw("DECODE", [image], { codes: { texture: raw }, low, high, film: Boolean(film) });
    gl.deleteTexture(raw);
    if (film) {
      gl.bindTexture(gl.TEXTURE_2D, image.texture);
      gl.generateMipmap(gl.TEXTURE_2D);
    }
    return image;
  }

  // A byte for each pixel, as an image from 0 to 1.
  bytes(columns, rows, bytes) {
    const { gl } = this, image = this.image(columns, rows, gl.R8);
    gl.bindTexture(gl.TEXTURE_2D, image.texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, columns, rows, gl.RED, gl.UNSIGNED_BYTE, bytes);
    return image;
  }

  // Points (n, 4), float32, as an image that is not interpolated; null for none.
  points(numbers) {
    const { gl } = this, count = numbers.length / 4, rows = Math.ceil(count / POINTS);
    if (!count) return null;
    const filled = new Float32Array(4 * POINTS * rows), image = this.image(POINTS, rows, gl.RGBA32F);
    filled.set(numbers);
    for (const how of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, how, gl.NEAREST);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, POINTS, rows, gl.RGBA, gl.FLOAT, filled);
    return { ...image, count };
  }

  // Fetch CT and bones, part by part.   state: as browser_drr has it   ask(nth, first): the n-th one's next slices   progress(share)
  async load(state, ask, progress) {
    const bodies = [], all = state.bodies.reduce((sum, { size }) => sum + size[2], 0);
    if (this.ct) this.forget(this.ct.bodies);
    [this.ct, this.loading] = [null, state.stamp];
    let done = 0;
    try {
      for (const body of state.bodies) {
        bodies.push({ ...body, texture: this.volume(body.size), bone_ends: null });
        for (let first = 0; first < body.size[2] && this.loading === state.stamp; ) {
          progress(done / all);
          const part = await ask(bodies.length - 1, first);
          if (!part || !part.slices) return; // another CT has taken its place
          this.fill(bodies[bodies.length - 1], first, part);
          [first, done] = [first + part.slices, done + part.slices];
        }
      }
    } finally {
      if (this.loading === state.stamp) this.loading = 0;
      if (done < all || this.ct) this.forget(bodies);
      else this.ct = { ...state, bodies };
    }
  }

  volume([columns, rows, slices]) {
    const { gl } = this, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.texStorage3D(gl.TEXTURE_3D, 1, gl.R8, columns, rows, slices);
    for (const how of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, how, gl.LINEAR);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(gl.TEXTURE_3D, side, gl.CLAMP_TO_EDGE);
    return texture;
  }

  fill(body, first, part) {
    const { gl } = this, [columns, rows] = body.size;
    if (part.bone_ends) body.bone_ends = this.points(new Float32Array(part.bone_ends.slice().buffer));
    gl.bindTexture(gl.TEXTURE_3D, body.texture);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, first, columns, rows, part.slices, gl.RED, gl.UNSIGNED_BYTE, part.voxels);
  }

  forget(bodies) {
    bodies.forEach((body) => this.release(body, body.bone_ends));
  }

  // The size of a DRR of an X-ray of this size (columns, rows) that there is time for.
  // most: pixels of its longest side that can be seen   moves: the CT does   among: how many are drawn   more: ms for each pixel beside it
  drrSize([columns, rows], most, moves, among, more) {
    let share = Math.min(1, most / Math.max(columns, rows));
    const budget = moves ? FRAME_MS / among : REST_MS, pace = this.msPerPixel + (moves ? more : 0);
    const pixels = this.msPerPixel ? Math.max(budget / pace, LEAST_PX) : LEAST_PX;
    share = Math.min(share, Math.sqrt(pixels / (columns * rows)));
    return [columns, rows].map((side) => Math.max(1, Math.round(side * share)));
  }

  // Draw the DRR of a camera with this size: bodies at their poses (4, 4), null for none, which add up.
  drr(onto, camera, size, poses) {
    const { ct, gl } = this, began = performance.now();
    ct.bodies.forEach((body, nth) => {
      if (nth) gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE);
      gl.colorMask(true, true, !nth, !nth); // whether a value is true the first one says
      if (poses[nth]) this.drawBody(onto, body, camera, size, poses[nth], nth > 0);
    });
    gl.disable(gl.SCISSOR_TEST);
    gl.disable(gl.BLEND);
    gl.colorMask(true, true, true, true);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.FLOAT, new Float32Array(4)); // waits until it is drawn: how long that takes sets the next one's size
    this.tookMs = performance.now() - began;
    const pace = this.tookMs / (onto.columns * onto.rows);
    if (this.drrs++) this.msPerPixel += (this.msPerPixel ? 0.4 : 1) * (pace - this.msPerPixel); // the first one waits for the compiler
  }

  // within: only where the box about it is seen
  drawBody(onto, ct, camera, [columns, rows], worldFromCt, within) {
    const { gl } = this, texelFromWorld = product(ct.texel_from_ct, inverse(worldFromCt)), worldFromTexel = product(worldFromCt, ct.ct_from_texel);
    const directions = product(texelFromWorld.slice(0, 3).map((row) => row.slice(0, 3)), camera.rays);
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => carried(worldFromTexel, ct.size.map((side, axis) => ((n >> axis) & 1) * side)));
    if (within && corners.every((corner) => depth(camera, corner) > 0)) {
      const seen = corners.map((corner) => projected(camera, corner)), scale = [onto.columns / columns, onto.rows / rows];
      const low = [0, 1].map((axis) => Math.floor((Math.min(...seen.map((pixel) => pixel[axis])) + 0.5) * scale[axis]));
      const high = [0, 1].map((axis) => Math.ceil((Math.max(...seen.map((pixel) => pixel[axis])) + 0.5) * scale[axis]));
      gl.enable(gl.SCISSOR_TEST);
      gl.scissor(...low, Math.max(high[0] - low[0], 0), Math.max(high[1] - low[1], 0));
    } else gl.disable(gl.SCISSOR_TEST);
    // An end that faces the beam takes no ray its value: what is missing before or behind it changes slowly across the image.
    const facing = ct.axes.map((axis) => Math.abs(dot(camera.axes[2], worldFromCt.slice(0, 3).map((row) => dot(row, axis)))) > ct.facing);
    const cut = ct.cut.reduce((bits, is, side) => bits | (is && !facing[side >> 1] ? 1 << side : 0), 0);
    this.draw("DRR", [onto], {
      ct: ct, size: ct.size, source: carried(texelFromWorld, camera.source),
      source_step: texelFromWorld.slice(0, 3).map((row) => dot(row, camera.step)),
      directions: [0, 1, 2].flatMap((which) => column(directions, which)),
      world_from_texel: [0, 1, 2].flatMap((which) => column(worldFromTexel, which)),
      pixel: [columns / onto.columns, rows / onto.rows], max_per_mm: ct.max_per_mm, bone_per_mm: ct.bone_per_mm,
      tissue_per_mm: ct.tissue_per_mm, unseen_mm: ct.unseen_mm, far_mm: 2 * Math.max(...corners.map((corner) => depth(camera, corner))), cut,
    });
  }

  // Draw where a camera with this size sees bone at the ends of the CT, 1, or not, 0.
  drawEnds(onto, camera, [columns, rows], worldFromCt) {
    const points = this.ct.bodies[0].bone_ends, columnsOf = (matrix) => [0, 1, 2, 3].flatMap((which) => matrix.map((row) => row[which]));
    this.draw("ENDS", [onto], {
      points, world_from_ct: columnsOf(worldFromCt), forms: columnsOf(camera.forms), size: [onto.columns, onto.rows],
      pixel: [columns / onto.columns, rows / onto.rows], across: column(camera.rays, 0), along: column(camera.rays, 1), row_step: camera.step,
    }, undefined, points.count);
  }

  // An image's numbers, four for each pixel: Float32Array, or, where it was made of bytes, these.
  read({ texture, columns, rows, bytes }) {
    const { gl } = this, numbers = new (bytes ? Uint8Array : Float32Array)(4 * columns * rows);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT1, gl.TEXTURE_2D, null, 0);
    gl.readPixels(0, 0, columns, rows, gl.RGBA, bytes ? gl.UNSIGNED_BYTE : gl.FLOAT, numbers);
    return numbers;
  }
}

class Program {
  constructor(gl, vertex, source) {
    [this.gl, this.program, this.units] = [gl, gl.createProgram(), 0];
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, source]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost())
      throw new Error(gl.getProgramInfoLog(this.program) + gl.getAttachedShaders(this.program).map((shader) => gl.getShaderInfoLog(shader)));
    this.uniforms = {};
    for (let n = 0; n < gl.getProgramParameter(this.program, gl.ACTIVE_UNIFORMS); n++) {
      const { name, type } = gl.getActiveUniform(this.program, n), place = gl.getUniformLocation(this.program, name);
      this.uniforms[name] = this.setter(type, place);
    }
  }

  setter(type, place) {
    const { gl } = this, volume = type === gl.SAMPLER_3D;
    if (volume || type === gl.SAMPLER_2D || type === gl.UNSIGNED_INT_SAMPLER_2D) {
      const unit = this.units++;
      return (image) => {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(volume ? gl.TEXTURE_3D : gl.TEXTURE_2D, image ? image.texture : null);
        gl.uniform1i(place, unit);
      };
    }
    return {
      [gl.FLOAT]: (value) => gl.uniform1f(place, value),
      [gl.FLOAT_VEC2]: (value) => gl.uniform2fv(place, value),
      [gl.FLOAT_VEC3]: (value) => gl.uniform3fv(place, value),
      [gl.FLOAT_MAT3]: (value) => gl.uniformMatrix3fv(place, false, value),
      [gl.FLOAT_MAT4]: (value) => gl.uniformMatrix4fv(place, false, value),
      [gl.INT]: (value) => gl.uniform1i(place, value),
      [gl.BOOL]: (value) => gl.uniform1i(place, value ? 1 : 0),
      [gl.INT_VEC2]: (value) => gl.uniform2iv(place, value),
    }[type];
  }

  use(values) {
    this.gl.useProgram(this.program);
    for (const name of Object.keys(this.uniforms)) this.uniforms[name](values[name]);
  }
}
