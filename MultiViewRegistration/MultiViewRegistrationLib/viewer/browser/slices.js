// What lies over the slices of the CT and the 3D view, whose pictures come from the server.
(() => {
  const SIDES = ["left", "right", "top", "bottom"];
  const PRESETS = { bone: [2000, 400], soft: [400, 40] }; // width and level, HU
  const CLICK = 4; // CSS pixels that a hand trembles in a click
  const TURN_DEG = 5, NEARER = 1.1; // for each key
  const TURNS = { ArrowLeft: [-TURN_DEG, 0, 1], ArrowRight: [TURN_DEG, 0, 1], ArrowUp: [0, TURN_DEG, 1], ArrowDown: [0, -TURN_DEG, 1],
    "+": [0, 0, NEARER], "=": [0, 0, NEARER], "-": [0, 0, 1 / NEARER] };

  // What a screen reader says of a picture from the server, which comes and goes.
  function describe(area, text) {
    const name = () => area.querySelectorAll("img:not([alt])").forEach(picture => { picture.alt = text; });
    new MutationObserver(name).observe(area, { childList: true, subtree: true });
    name();
  }

  // title: its orientation.   colour: of that.   at: a SlicePosition; null without a CT.   greys: of all slices.
  const Slice = {
    inject: ["trame"],
    props: { title: String, colour: String, at: Object, greys: Object },
    data: () => ({ mm: 0, held: false, drag: null }),
    computed: {
      sides() { return this.at ? SIDES.map((side, n) => [side, this.at.sides[n]]) : []; },
      place() {
        const mm = Math.round(this.mm);
        return this.at ? `${this.at.axis[mm < 0 ? 1 : 0]} ${Math.abs(mm)} mm` : "";
      },
      range() { return Math.max(this.greys.most - this.greys.least, 1e-6); },
    },
    watch: {
      at: { immediate: true, handler() { if (this.at && !this.held) this.mm = this.at.mm; } },
    },
    mounted() { // a drag sets brightness and contrast, of which the server's picture gets the click alone
      const area = this.$el.parentElement;
      describe(area, this.title);
      area.addEventListener("pointerdown", this.press, true);
      area.addEventListener("pointermove", this.pull, true);
      for (const end of ["pointerup", "pointercancel"]) area.addEventListener(end, this.release, true);
      area.addEventListener("contextmenu", event => event.preventDefault());
    },
    methods: {
      scroll(event) {
        this.mm = Number(event.target.value);
        this.trame.trigger("mvreg_scroll", [this.title, this.mm]);
      },
      set(width, level) { this.trame.trigger("mvreg_ct_greys", [width, level]); },
      preset(which) { this.set(...PRESETS[which]); },
      press(event) {
        if (event.button !== 0 || event.target.closest("button, input, form, [role=toolbar]")) return;
        if ((this.trame.state.get("hand") || {}).on) return; // the handles of a bone get it
        this.drag = { x: event.clientX, y: event.clientY, width: this.greys.width, level: this.greys.level, far: false };
      },
      pull(event) {
        if (!this.drag) return;
        event.stopPropagation();
        if (!this.drag.far && Math.hypot(event.clientX - this.drag.x, event.clientY - this.drag.y) < CLICK) return;
        if (!this.drag.far) event.currentTarget.setPointerCapture(event.pointerId);
        this.drag.far = true;
        const box = this.$el.parentElement.getBoundingClientRect(), { x, y, width, level } = this.drag;
        this.set(width * Math.exp((2 * (event.clientX - x)) / box.width), level + (width * (event.clientY - y)) / box.height);
      },
      release() { this.drag = null; },
    },
    template: `
      <div class="mv-over-slice">
        <div class="mv-name-over"><div :style="{ color: colour }">{{ title }}</div>{{ place }}</div>
        <template v-if="at">
          <div v-for="[side, letter] in sides" :class="['mv-side', side]" aria-hidden="true">{{ letter }}</div>
          <input class="mv-through" type="range" :min="at.low" :max="at.high" :step="at.step" :value="mm" :aria-label="title" :aria-valuetext="place"
            @input="scroll" @pointerdown="held = true" @pointerup="held = false" @pointercancel="held = false" />
          <div class="mv-tools" role="toolbar" :aria-label="title">
            <v-menu :close-on-content-click="false" location="bottom end">
              <template #activator="{ props }"><v-btn v-bind="props" icon="mdi-contrast-circle" size="small" variant="text" rounded="lg"
                :title="words.window" :aria-label="words.window" /></template>
              <form class="mv-greys" role="dialog" :aria-label="words.window" @submit.prevent>
                <label>{{ words.width }} <input type="range" :min="range / 200" :max="range" :step="range / 200" :value="greys.width"
                  @input="set(Number($event.target.value), greys.level)" /><output>{{ Math.round(greys.width) }}</output></label>
                <label>{{ words.level }} <input type="range" :min="greys.least" :max="greys.most" :step="range / 200" :value="greys.level"
                  @input="set(greys.width, Number($event.target.value))" /><output>{{ Math.round(greys.level) }}</output></label>
                <div class="mv-row"><button type="button" class="mv-pick" @click="set(0, 0)">{{ words.automatic_ct }}</button>
                  <template v-if="greys.hu"><button type="button" class="mv-pick" @click="preset('bone')">{{ words.bone }}</button>
                    <button type="button" class="mv-pick" @click="preset('soft')">{{ words.soft_tissue }}</button></template></div>
              </form>
            </v-menu>
            <slot />
          </div>
        </template>
      </div>`,
  };

  // The 3D view, by keys.
  const Eye = {
    inject: ["trame"],
    mounted() { describe(this.$el.parentElement, this.words.eye); },
    methods: {
      key(event) {
        if (!(event.key in TURNS) || event.ctrlKey || event.altKey || event.metaKey) return;
        this.trame.trigger("mvreg_turn", TURNS[event.key]);
        event.preventDefault();
      },
    },
    template: `<div class="mv-eye" tabindex="0" role="application" :aria-label="words.eye" @keydown="key"></div>`,
  };

  window.mvreg_slices = { install(app) {
    const mixins = [window.mvregWords];
    app.component("mv-slice", { ...Slice, mixins });
    app.component("mv-eye", { ...Eye, mixins });
  } };
})();
