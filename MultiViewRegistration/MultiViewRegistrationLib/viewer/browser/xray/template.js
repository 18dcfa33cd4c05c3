// All text from the scene goes through {{ }}, which escapes it.

// An icon of 16 x 16, of lines and of what is filled.
function icon(lines, filled = "") {
  return `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${lines}" /><path class="filled" d="${filled}" /></svg>`;
}

export const template = `
<section :class="['mvx', { small }]" ref="root" v-if="view" :aria-label="fill(words.xray, { name: view.label })">
  <div class="mvx-surface" ref="surface" tabindex="0" role="application" :aria-label="spoken"
    :class="{ movable, moving: dragText }"
    @pointerdown="press" @pointermove="pointer" @pointerup="release" @pointercancel="release" @pointerleave="hovered = null"
    @wheel.prevent="gestures.wheel($event)" @contextmenu.prevent @keydown="keydown" @keyup="ended" @blur="ended">
    <canvas ref="canvas"></canvas>
    <svg :style="{ color: view.colour }" aria-hidden="true">
      <text v-for="side in drawn.sides" class="side" :x="side.x" :y="side.y">{{ side.letter }}</text>
      <g v-if="drawn.scale" class="scale"><path class="under" :d="drawn.scale.path" /><path :d="drawn.scale.path" />
        <text :x="drawn.scale.x" :y="drawn.scale.y">{{ fill(words.scale, { length: drawn.scale.mm }) }}</text></g>
      <g v-for="one in drawn.bones" :class="['bone', { chosen: one.chosen }]" :style="{ color: one.colour }"><path class="under" :d="one.path" />
        <path :d="one.path" /><text :x="one.x" :y="one.y">{{ one.name }}</text></g>
      <template v-for="line in drawn.lines"><line class="under" v-bind="line" /><line class="epipolar" v-bind="line" /></template>
      <template v-if="drawn.seen"><path class="under" :d="drawn.seen" /><path class="seen" :d="drawn.seen" /></template>
      <template v-if="drawn.point"><path class="under" :d="drawn.point" /><path class="point" :d="drawn.point" /></template>
      <g v-for="one in drawn.landmarks" :class="['landmark', one.of]"><path class="under" :d="one.path" /><path :d="one.path" />
        <text :x="one.x" :y="one.y">{{ one.name }}</text></g>
      <g v-if="drawn.ring" class="ring">
        <circle class="under" :cx="drawn.ring.x" :cy="drawn.ring.y" :r="drawn.ring.radius" />
        <circle class="line" :cx="drawn.ring.x" :cy="drawn.ring.y" :r="drawn.ring.radius" />
        <circle class="grab" :cx="drawn.ring.x" :cy="drawn.ring.y" :r="drawn.ring.radius" @pointerdown.stop="press($event, 'turn')">
          <title>{{ words.ring }}</title></circle>
        <g v-for="grip in drawn.ring.grips" class="grip" :transform="'translate(' + grip.x + ',' + grip.y + ') rotate(' + grip.angle + ')'"
          @pointerdown.stop="press($event, grip.handle)">
          <title>{{ words.grip }}</title>
          <circle r="16" /><path d="M-8,0L8,0M-4,-4L-8,0L-4,4M4,-4L8,0L4,4" /></g>
      </g>
    </svg>
  </div>
  <div class="mvx-title" :style="{ color: view.colour }"><div v-for="text in small ? [view.short] : view.title.slice(0, 2)">{{ text }}</div></div>
  <div v-if="!view.film" class="mvx-empty">{{ words.no_image }}</div>
  <div class="mvx-text">
    <div v-if="dragText">{{ dragText }}</div>
    <div v-else-if="dragged === 'window'">{{ fill(words.window_level, levels) }}</div>
    <div v-else-if="hovered">{{ hovered }}</div>
  </div>
  <div :class="['mvx-tools', { open }]" role="toolbar" :aria-label="fill(words.xray, { name: view.label })">
    <button type="button" class="wide" @click="zoom(1 / 1.2)" :aria-label="words.zoom_out" :title="words.zoom_out">${icon("M3,8h10")}</button>
    <button type="button" class="wide" @click="fit" :aria-label="words.fit" :title="words.fit">{{ percent }} %</button>
    <button type="button" class="wide" @click="zoom(1.2)" :aria-label="words.zoom_in" :title="words.zoom_in">${icon("M3,8h10M8,3v10")}</button>
    <button type="button" @click="open = !open" :aria-expanded="String(open)" :aria-label="words.window"
      :title="words.window">${icon("M8,2a6,6 0 0 1 0,12a6,6 0 0 1 0,-12", "M8,2a6,6 0 0 1 0,12z")}</button>
    <button type="button" @click="look.toggle(view.name)" :aria-pressed="String(look.alone === view.name)" :aria-label="words.alone"
      :title="words.alone">${icon("M2,6v-4h4M10,2h4v4M14,10v4h-4M6,14h-4v-4")}</button>
  </div>
  <form v-if="open" class="mvx-panel" @submit.prevent @keydown.esc.stop="close">
    <label v-for="what in ['brightness', 'contrast']">{{ words[what] }}
      <input type="range" min="2" max="98" :value="levels[what]" @input="setLevel(what, $event, false)" @change="setLevel(what, $event, true)">
      <output>{{ levels[what] }} %</output></label>
    <div class="mvx-row">
      <button type="button" @click="resetWindow">{{ words.automatic }}</button>
      <button type="button" @click="boneWindow">{{ words.bone }}</button>
      <button type="button" :aria-pressed="String(view.inverted)" @click="invert">{{ words.inverted }}</button>
    </div>
  </form>
  <div class="mvx-spoken" aria-live="polite">{{ announced }}</div>
</section>`;
