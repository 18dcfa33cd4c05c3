// All text from the scene goes through {{ }}, which escapes it.

// An icon of 16 x 16, of lines and of what is filled.
function icon(lines, filled = "") {
  return `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${lines}" /><path class="filled" d="${filled}" /></svg>`;
}

export const template = `
<section class="mvx" ref="root" v-if="view" :aria-label="'X-ray ' + view.label">
  <div class="mvx-surface" ref="surface" tabindex="0" role="application" :aria-label="spoken" :aria-describedby="view.name + '_keys'"
    :class="{ movable, moving: far }"
    @pointerdown="press" @pointermove="pointer" @pointerup="release" @pointercancel="release" @pointerleave="hovered = null"
    @wheel.prevent="gestures.wheel($event)" @contextmenu.prevent @keydown="keydown" @keyup="ended" @blur="ended">
    <canvas ref="canvas"></canvas>
    <svg :style="{ color: view.colour }" aria-hidden="true">
      <text v-for="side in drawn.sides" class="side" :x="side.x" :y="side.y">{{ side.letter }}</text>
      <g v-if="drawn.scale" class="scale"><path class="under" :d="drawn.scale.path" /><path :d="drawn.scale.path" />
        <text :x="drawn.scale.x" :y="drawn.scale.y">{{ drawn.scale.mm }} mm at the CT</text></g>
      <template v-if="drawn.outline"><path class="under" :d="drawn.outline" /><path class="outline" :d="drawn.outline" /></template>
      <template v-for="line in drawn.lines"><line class="under" v-bind="line" /><line class="epipolar" v-bind="line" /></template>
      <template v-if="drawn.seen"><path class="under" :d="drawn.seen" /><path class="seen" :d="drawn.seen" /></template>
      <template v-if="drawn.point"><path class="under" :d="drawn.point" /><path class="point" :d="drawn.point" /></template>
      <g v-for="one in drawn.landmarks" :class="['landmark', one.of]"><path class="under" :d="one.path" /><path :d="one.path" />
        <text :x="one.x" :y="one.y">{{ one.name }}</text></g>
      <g v-if="drawn.ring && handles" class="ring">
        <circle class="under" :cx="drawn.ring.x" :cy="drawn.ring.y" :r="drawn.ring.radius" />
        <circle class="line" :cx="drawn.ring.x" :cy="drawn.ring.y" :r="drawn.ring.radius" />
        <circle class="grab" :cx="drawn.ring.x" :cy="drawn.ring.y" :r="drawn.ring.radius" @pointerdown.stop="press($event, 'turn')">
          <title>Drag: turn the CT about the beam</title></circle>
        <g v-for="grip in drawn.ring.grips" class="grip" :transform="'translate(' + grip.x + ',' + grip.y + ') rotate(' + grip.angle + ')'"
          @pointerdown.stop="press($event, grip.handle)">
          <title>Drag: tilt the CT</title>
          <rect x="-13" y="-13" width="26" height="26" rx="13" /><path d="M-8,0L8,0M-4,-4L-8,0L-4,4M4,-4L8,0L4,4" /></g>
        <path class="line" :d="'M' + (drawn.ring.x - 5) + ',' + drawn.ring.y + 'h10M' + drawn.ring.x + ',' + (drawn.ring.y - 5) + 'v10'" />
      </g>
    </svg>
  </div>
  <div class="mvx-title" :style="{ color: view.colour }"><div v-for="text in view.title">{{ text }}</div></div>
  <div v-if="!view.film" class="mvx-empty">No image</div>
  <div class="mvx-told">
    <div v-if="far">{{ far }}</div>
    <div v-else-if="hovered">{{ hovered }}</div>
    <div v-else>W {{ number(greys[1] - greys[0]) }}, L {{ number((greys[0] + greys[1]) / 2) }} (line integral)</div>
  </div>
  <div v-if="problem" class="mvx-problem" role="alert">{{ problem }}</div>
  <div class="mvx-tools" role="toolbar" :aria-label="'X-ray ' + view.label">
    <button type="button" class="wide" @click="zoom(1 / 1.2)" aria-label="Zoom out" title="Zoom out (wheel, -)">${icon("M3,8h10")}</button>
    <button type="button" class="wide" @click="fit" aria-label="Show all of the X-ray" title="All of the X-ray (0)">{{ percent }} %</button>
    <button type="button" class="wide" @click="zoom(1.2)" aria-label="Zoom in" title="Zoom in (wheel, +)">${icon("M3,8h10M8,3v10")}</button>
    <button type="button" @click="open = open === 'window' ? '' : 'window'" :aria-expanded="open === 'window'" aria-label="Brightness and contrast"
      title="Brightness and contrast (drag with the right button)">${icon("M8,2a6,6 0 0 1 0,12a6,6 0 0 1 0,-12", "M8,2a6,6 0 0 1 0,12z")}</button>
    <button type="button" @click="handles = !handles" :aria-pressed="handles" :disabled="!movable" aria-label="Handles to turn and tilt the CT"
      title="Handles to turn and tilt the CT">${icon("M13,8a5,5 0 1 1 -2,-4M11,1v3.4h-3.4")}</button>
    <button type="button" @click="toggleHelp" :aria-expanded="open === 'help'" aria-label="Mouse and keys" title="Mouse and keys (?)">?</button>
    <button type="button" @click="toggleFull" :aria-pressed="full" aria-label="Full screen" title="Full screen (f)">${
      icon("M2,6v-4h4M10,2h4v4M14,10v4h-4M6,14h-4v-4")}</button>
  </div>
  <form v-if="open === 'window'" class="mvx-panel" @submit.prevent @keydown.esc="close">
    <label>Black at <input type="number" step="0.05" :value="number(greys[0])" @change="typed(0, $event)" aria-label="Black at, line integral"></label>
    <label>White at <input type="number" step="0.05" :value="number(greys[1])" @change="typed(1, $event)" aria-label="White at, line integral"></label>
    <span>line integral, &minus;ln(I / I&#8320;)</span>
    <label class="check"><input type="checkbox" :checked="view.inverted" @change="invert"> Bone dark (n)</label>
    <button type="button" @click="resetWindow">Reset (r)</button>
  </form>
  <table v-show="open === 'help'" class="mvx-panel" :id="view.name + '_keys'">
    <tr><th colspan="2">Moving the CT</th></tr>
    <tr><td>Drag; arrow keys</td><td>along the image; 0.1 mm</td></tr>
    <tr><td>Ring; [ ] or q e</td><td>turn about the beam; 0.1&deg;</td></tr>
    <tr><td>Grips or Ctrl+drag; Ctrl+arrows</td><td>tilt; 0.1&deg;</td></tr>
    <tr><td>Shift+wheel; Page Up, Page Down</td><td>along the beam; 1 mm; 0.1 mm</td></tr>
    <tr><td>Shift and a key</td><td>ten times as far</td></tr>
    <tr><th colspan="2">Looking</th></tr>
    <tr><td>Click; c</td><td>linked cursor; in the middle</td></tr>
    <tr><td>Wheel; + &minus; 0</td><td>zoom; all of the X-ray</td></tr>
    <tr><td>Middle button or Shift+drag; a d w s</td><td>pan</td></tr>
    <tr><td>Right button; r n</td><td>brightness, contrast; reset; bone dark</td></tr>
    <tr><td>f ?</td><td>full screen; this list</td></tr>
  </table>
  <div class="mvx-spoken" aria-live="polite">{{ announced }}</div>
</section>`;
