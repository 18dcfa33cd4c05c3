// What trame has no widget for: files that the server makes, its absence, and keys that work anywhere in the page.
(() => {
  // Messages come as bytes, not as Blobs: of these trame takes two slices, each of which asks another process of the browser, in
  // all some 15 ms a message. It asks slices for their arrayBuffer(), and the socket is known once something is sent.
  ArrayBuffer.prototype.arrayBuffer ??= async function () { return this; };
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) { this.binaryType = "arraybuffer"; send.call(this, data); };

  // Mixed into every element: the sentences of elements.py, which are translated.   fill: puts values into the {names} of one.
  window.mvregWords = {
    inject: ["trame"],
    computed: { words() { return this.trame.state.get("words"); } },
    methods: { fill: (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]) },
  };

  const DownloadButton = {
    inject: ["trame"],
    props: { trigger: String, label: String, icon: String, disabled: Boolean },
    data: () => ({ busy: false }),
    methods: {
      async go() {
        this.busy = true;
        try {
          const address = await this.trame.trigger(this.trigger);
          if (address) Object.assign(document.createElement("a"), { href: address, download: "" }).click();
        } finally { this.busy = false; }
      },
    },
    template: `<v-btn :prepend-icon="icon" :disabled="disabled" :loading="busy" variant="tonal" size="small" @click="go">{{ label }}</v-btn>`,
  };

  // In place of the page while the server does not answer. It is polled soon at first, then every ten seconds; once it is back, so is the page.
  const Closed = {
    mixins: [window.mvregWords],
    data: () => ({ restarted: false, wait: Date.now() - (sessionStorage.mvregBack || 0) < 10000 ? 5000 : 500, timer: 0 }),
    mounted() { this.again(); window.addEventListener("online", this.ask); document.addEventListener("visibilitychange", this.ask); },
    unmounted() { clearTimeout(this.timer); window.removeEventListener("online", this.ask); document.removeEventListener("visibilitychange", this.ask); },
    methods: {
      again() {
        clearTimeout(this.timer);
        this.timer = setTimeout(this.ask, this.wait);
        this.wait = Math.min(1.6 * this.wait, 10000);
      },
      async ask() {
        const answer = await fetch("index.html", { cache: "no-store" }).catch(() => null);
        if (answer && answer.ok) {
          sessionStorage.mvregBack = Date.now(); // where only this answers, the page must not be loaded again and again
          return location.reload();
        }
        this.restarted = !!answer && answer.status === 403;
        this.again();
      },
    },
    template: `
      <div class="mv-closed" role="alert">
        <h2>{{ words.closed }}</h2>
        <p v-if="restarted">{{ words.restarted }}</p>
        <template v-else><p>{{ words.wait }}</p><p>{{ words.start_again }}</p></template>
        <button type="button" class="mv-pick" @click="ask">{{ words.try_now }}</button>
      </div>`,
  };

  const typing = e => /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && !/^(checkbox|radio|button|range)$/.test(e.target.type);

  const Shortcuts = {
    inject: ["trame"],
    emits: ["undo", "redo", "register", "move", "leave"],
    mounted() { window.addEventListener("keydown", this.react); },
    unmounted() { window.removeEventListener("keydown", this.react); },
    methods: {
      react(e) {
        if (e.altKey || e.defaultPrevented) return;
        const key = e.key.toLowerCase(), ctrl = e.ctrlKey || e.metaKey;
        const open = document.querySelector(".mv-sheet") && !document.querySelector(".v-overlay--active, dialog[open]");
        const plain = key === "m" || (key === "escape" && (this.trame.state.get("hand") || {}).on) ? "move" : "";
        const held = key === "enter" ? "register" : key === "z" && !e.shiftKey ? "undo" : key === "y" || key === "z" ? "redo" : "";
        const what = ctrl ? held : plain || (key === "escape" && open ? "leave" : "");
        if (!what || (!["register", "leave"].includes(what) && typing(e))) return;
        e.preventDefault();
        if (what === "leave") document.activeElement.blur(); // what was typed counts
        this.$emit(what);
      },
    },
    template: `<span />`,
  };

  window.mvreg_page = { install(app) { app.component("mv-keys", Shortcuts); app.component("mv-fetch", DownloadButton);
    app.component("mv-closed", Closed); } };
  document.addEventListener("click", e => { // the step that was opened is seen
    const step = e.target.closest(".mv-step");
    if (step) setTimeout(() => step.parentElement.scrollIntoView({ block: "nearest", behavior: "smooth" }), 300);
  });
  // A click on a button while a field still has what was typed: the field notifies the server when it loses the focus, and what the server
  // answers may enable that button only then, or move it from under the mouse. The click is made up for where the browser has lost it.
  let pressed = null; // { button, changed, clicked }
  const enabled = button => button.isConnected && !button.disabled;
  const holds = (button, e) => { const b = button.getBoundingClientRect(); return e.clientX >= b.left && e.clientX < b.right && e.clientY >= b.top && e.clientY < b.bottom; };
  async function makeUp({ button }) {
    for (let n = 0; n < 40 && !enabled(button); n++) await new Promise(done => setTimeout(done, 50));
    if (enabled(button)) button.click();
  }
  document.addEventListener("mousedown", e => {
    const field = document.activeElement, own = field && field.closest(".v-expansion-panel, .mv-sheet");
    const button = own && e.button === 0 && typing({ target: field }) && [...own.querySelectorAll("button.v-btn")].find(b => holds(b, e));
    pressed = button ? { button, changed: false, clicked: false, at: e } : null;
  }, true);
  document.addEventListener("change", () => { if (pressed) pressed.changed = true; }, true);
  document.addEventListener("click", e => { if (pressed && pressed.button.contains(e.target)) pressed.clicked = true; }, true);
  document.addEventListener("mouseup", e => {
    const press = pressed;
    if (!press || Math.hypot(e.clientX - press.at.clientX, e.clientY - press.at.clientY) > 8) return;
    setTimeout(() => { if (press.changed && !press.clicked) makeUp(press); }, 0);
  }, true);
})();
