// How a page looks, which each page keeps for itself: light or dark, which views, how wide the steps are, how high the X-rays.
// Templates know it as `look`.
(() => {
  const KEY = "mvreg.look", NARROW = 1000, HALF = 4; // CSS pixels: where the steps cover the views, and half of a splitter
  const MANY = 4; // of more X-rays two rows would be low: 3D and slices lie beside them, not below
  const KEPT = ["theme", "layout", "steps", "stepsPx", "share"];
  const LAYOUTS = { 1: "xrays", 2: "all", 3: "ct" }; // by the keys that choose them
  const THEMES = ["auto", "light", "dark"];
  const SPLITS = { // what a splitter sets; its range, and the step of a key
    steps: { key: "stepsPx", low: 288, high: 640, step: 16, turned: "vertical", at: (e, box) => e.clientX - box.left + HALF },
    views: { key: "share", low: 20, high: 85, step: 2, get turned() { return look.beside ? "vertical" : "horizontal"; },
      at: (e, box) => (look.beside ? (100 * (e.clientX - box.left)) / box.width : (100 * (e.clientY - box.top)) / box.height) },
  };
  const usual = () => ({ theme: "auto", layout: "all", steps: window.innerWidth >= NARROW, stepsPx: window.innerWidth < 1400 ? 344 : 400, share: 60 });
  const kept = () => { try { return JSON.parse(localStorage[KEY]); } catch { return {}; } };
  const { reactive, watch, watchEffect } = window.Vue;

  const system = matchMedia("(prefers-color-scheme: dark)"), wide = matchMedia(`(min-width: ${NARROW}px)`);
  const look = reactive({ ...usual(), ...kept(), alone: "", help: false, systemDark: system.matches, wide: wide.matches, beside: false });
  wide.addEventListener("change", () => { look.wide = wide.matches; });
  if (window.innerWidth < NARROW) look.steps = false; // there they cover the views
  system.addEventListener("change", () => { look.systemDark = system.matches; });
  const dark = () => (look.theme === "auto" ? look.systemDark : look.theme === "dark");
  watchEffect(() => { document.documentElement.dataset.theme = dark() ? "dark" : "light"; });
  watch(() => KEPT.map(key => look[key]), values => {
    try { localStorage[KEY] = JSON.stringify(Object.fromEntries(KEPT.map((key, n) => [key, values[n]]))); } catch { /* a private window */ }
  });
  // A view alone, by its name, or all again.
  look.toggle = name => { look.alone = look.alone === name ? "" : name; };
  look.choose = layout => { look.layout = layout; look.alone = ""; };
  look.nextTheme = () => { look.theme = THEMES[(THEMES.indexOf(look.theme) + 1) % THEMES.length]; };
  document.querySelector("meta[name=viewport]").content = "width=device-width, initial-scale=1"; // trame's forbids zooming

  // What a button leads to is in sight, and has the focus. The server's answer, and a step that opens, take a moment.
  const TRIES = 20, PAUSE_MS = 50, OPENING_MS = 300, FIELD = "input, select:not([hidden]), textarea, button";
  async function seek(at) {
    for (let n = 0; n < TRIES; n++) {
      const found = document.querySelector(`[data-key="${CSS.escape(at)}"]`);
      if (found) {
        look.steps = !!found.closest(".mv-steps") || (look.steps && window.innerWidth >= NARROW); // else they cover it
        for (let each = found.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
        const field = found.matches(FIELD) ? found : found.querySelector(FIELD);
        if (field) field.focus({ preventScroll: true });
        for (const wait of [0, OPENING_MS]) setTimeout(() => found.scrollIntoView({ block: "nearest" }), wait);
        return;
      }
      await new Promise(done => setTimeout(done, PAUSE_MS));
    }
  }

  // Vuetify's theme, and slices when the server asks for them, as points are to be clicked there.   slices: how often it has.
  // xrays: those that there are; an X-ray that was alone may be gone.   sought: see `Look` of elements.py.
  const Look = {
    props: { slices: Number, xrays: Array, sought: Object },
    mounted() {
      watchEffect(() => this.$vuetify.theme.change(dark() ? "dark" : "light"));
      watchEffect(() => { look.beside = look.wide && this.xrays.length > MANY; });
    },
    watch: {
      xrays(now, before) { if (look.alone && before.some(one => one.pane === look.alone) && !now.some(one => one.pane === look.alone)) look.alone = ""; },
      sought({ at, count }, before) { if (count > before.count) seek(at); },
      slices() { if (look.layout === "xrays" || look.alone) look.choose("all"); },
    },
    template: `<span hidden></span>`,
  };

  // The X-rays, so many in a row that each is as large as it can be.   count: of those that are seen.
  const XRays = {
    props: { count: Number },
    data: () => ({ room: [1, 1] }),
    computed: {
      columns({ count, room: [width, height] }) {
        const side = columns => Math.min(width / columns, height / Math.ceil(count / columns));
        return Array.from({ length: count || 1 }, (_, n) => n + 1).reduce((best, columns) => (side(columns) > side(best) ? columns : best));
      },
    },
    mounted() {
      this.observer = new ResizeObserver(([{ contentRect: { width, height } }]) => { this.room = [width, height]; });
      this.observer.observe(this.$el);
    },
    beforeUnmount() { this.observer.disconnect(); },
    template: `<div class="mv-xrays" :style="{ gridTemplateColumns: 'repeat(' + columns + ', minmax(0, 1fr))' }"><slot /></div>`,
  };

  // A bar between two parts of the page.   kind: of SPLITS.
  const Split = {
    props: { kind: String },
    data: () => ({ dragged: false }),
    computed: {
      split: ({ kind }) => SPLITS[kind],
      value: ({ split }) => Math.round(look[split.key]),
    },
    methods: {
      set(value) { look[this.split.key] = Math.min(Math.max(value, this.split.low), this.split.high); },
      press(e) { this.dragged = true; e.target.setPointerCapture(e.pointerId); },
      move(e) { if (this.dragged) this.set(this.split.at(e, this.$el.parentElement.getBoundingClientRect())); },
      reset() { this.set(usual()[this.split.key]); },
      key(e) {
        const { step, low, high } = this.split, now = look[this.split.key];
        const to = { ArrowLeft: now - step, ArrowUp: now - step, ArrowRight: now + step, ArrowDown: now + step, Home: low, End: high }[e.key];
        if (to !== undefined) this.set(to);
        else if (e.key === "Enter") this.reset();
        else return;
        e.preventDefault();
        e.stopPropagation();
      },
    },
    template: `<div role="separator" tabindex="0" :class="['mv-split', split.turned, { dragged }]" :aria-orientation="split.turned"
      :aria-label="words['split_' + kind]" :title="words['split_' + kind]" :aria-valuenow="value" :aria-valuemin="split.low" :aria-valuemax="split.high"
      @pointerdown="press" @pointermove="move" @pointerup="dragged = false" @pointercancel="dragged = false" @dblclick="reset" @keydown="key"></div>`,
  };

  // Mouse, fingers and keys, in a dialog.
  const Help = {
    mounted() {
      watch(() => look.help, open => { if (open) this.$refs.dialog.showModal(); else this.$refs.dialog.close(); });
    },
    methods: { close() { look.help = false; } },
    template: `
      <dialog ref="dialog" class="mv-help" :aria-label="words.help" @close="close" @click.self="close">
        <div class="mv-help-head"><h2>{{ words.help }}</h2><button type="button" class="mv-pick" autofocus @click="close">{{ words.close }}</button></div>
        <div class="mv-help-body" tabindex="0"><table v-for="part in words.keys"><caption>{{ part[0] }}</caption>
          <tbody><tr v-for="[what, means] in part[1]"><th scope="row">{{ what }}</th><td>{{ means }}</td></tr></tbody></table></div>
      </dialog>`,
  };

  const typing = e => /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && !/^(checkbox|radio|button|range)$/.test(e.target.type);
  window.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || typing(e)) return;
    const view = e.target.closest && e.target.closest("[data-view]");
    if (e.key === "?") look.help = !look.help;
    else if (e.key === "Escape" && look.alone) look.alone = "";
    else if (e.key === "f" && view) look.toggle(view.dataset.view);
    else if (e.key === "b") look.steps = !look.steps;
    else if (e.key in LAYOUTS) look.choose(LAYOUTS[e.key]);
    else return;
    e.preventDefault();
  });
  document.addEventListener("dblclick", e => { // a view alone; what lies over it has clicks of its own
    const view = e.target.closest("[data-view]");
    if (view && !e.target.closest("button, input, a, form, [role=toolbar]")) look.toggle(view.dataset.view);
  });

  window.mvreg_look = { install(app) {
    app.config.globalProperties.look = look;
    app.component("mv-look", Look);
    app.component("mv-xrays", XRays);
    const mixins = [window.mvregWords]; // of page.js, which may be loaded after this
    app.component("mv-split", { ...Split, mixins });
    app.component("mv-help", { ...Help, mixins });
  } };
})();
