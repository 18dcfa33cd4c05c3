// Files that go to the server: dropped anywhere in the window, or picked with buttons.
(() => {
  async function entriesOf(item) { // of a dropped file or folder: [path, File], ...
    if (item.isFile) return new Promise((take, fail) => item.file(f => take([[item.fullPath.slice(1), f]]), fail));
    const reader = item.createReader(), found = [];
    for (;;) {
      const batch = await new Promise((take, fail) => reader.readEntries(take, fail));
      if (!batch.length) return found;
      for (const entry of batch) found.push(...await entriesOf(entry));
    }
  }

  function dropped(transfer) { // must be asked for while the event lasts; then a promise of [path, File], ...
    const entries = [...transfer.items].map(i => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
    const plain = [...transfer.files].map(f => [f.name, f]);
    return entries.length ? Promise.all(entries.map(entriesOf)).then(all => all.flat()) : Promise.resolve(plain);
  }

  // Mixed into what sends files.   percent: -1 where nothing is being sent, null where it is not known how far.
  const sending = {
    data: () => ({ percent: -1, problem: "" }),
    methods: {
      send(files, target) {
        if (!files.length || this.disabled || this.percent !== -1) return Promise.resolve();
        const form = new FormData(), request = new XMLHttpRequest();
        for (const [path, file] of files) form.append("file", file, encodeURIComponent(path));
        this.percent = 0;
        this.problem = "";
        return new Promise(done => {
          const ended = problem => { this.percent = -1; this.problem = problem; done(); };
          request.open("POST", `upload?target=${encodeURIComponent(target)}`);
          request.upload.onprogress = e => { this.percent = e.lengthComputable ? Math.round(100 * e.loaded / e.total) : null; };
          request.onload = () => ended(request.status < 300 ? "" : request.responseText);
          request.onerror = () => ended(this.words.upload_failed);
          request.send(form);
        });
      },
    },
  };

  // Where a `target` is under the mouse, what is dropped goes there: a calibration to the X-ray that is edited.
  const FilePicker = {
    props: { target: String, hint: String, accept: String, folder: Boolean, disabled: Boolean },
    methods: {
      picked(event) {
        const files = [...event.target.files].map(f => [f.webkitRelativePath || f.name, f]);
        event.target.value = "";
        this.send(files, this.target);
      },
    },
    template: `
      <div class="mv-files" :data-target="disabled ? undefined : target" :data-hint="hint">
        <slot />
        <div class="mv-row">
          <label class="mv-pick" :class="{ disabled }"><input type="file" multiple :accept="accept" :disabled="disabled" @change="picked"
            class="mv-hidden" :aria-label="fill(words.choose_files, { hint })">{{ words.files }}</label>
          <label v-if="folder" class="mv-pick" :class="{ disabled }"><input type="file" webkitdirectory :disabled="disabled" @change="picked"
            class="mv-hidden" :aria-label="fill(words.choose_folder, { hint })">{{ words.folder }}</label>
          <span class="mv-fact">{{ hint }}</span>
        </div>
        <v-progress-linear v-if="percent !== -1" :model-value="percent" :indeterminate="percent === null" height="4" />
        <div v-if="problem" class="mv-problem" role="alert">{{ problem }}</div>
      </div>`,
  };

  const LINGERS_MS = 200; // dragover comes several times a second, and nothing says that files have left the window
  const WindowDrop = {
    props: { target: String, disabled: Boolean },
    data: () => ({ over: false, hint: "", files: [], looking: false }),
    mounted() { for (const what of ["dragover", "drop"]) window.addEventListener(what, this[what]); },
    unmounted() { for (const what of ["dragover", "drop"]) window.removeEventListener(what, this[what]); },
    methods: {
      place: event => event.target.closest ? event.target.closest("[data-target]") : null,
      dragover(event) { // a file that misses its place must not replace the page
        event.preventDefault();
        if (this.disabled || ![...event.dataTransfer.types].includes("Files")) return;
        const place = this.place(event);
        this.over = true;
        this.hint = place && !["files", "open"].includes(place.dataset.target) ? place.dataset.hint : "";
        clearTimeout(this.timer);
        this.timer = setTimeout(() => { this.over = false; }, LINGERS_MS);
      },
      async drop(event) {
        event.preventDefault();
        this.over = false;
        if (this.disabled || this.percent !== -1 || this.looking) return;
        const place = this.place(event), files = dropped(event.dataTransfer);
        this.looking = true;
        try {
          this.files = await files;
        } catch (error) { // a file that went away meanwhile
          this.problem = String(error.message || error);
          return;
        } finally { this.looking = false; }
        await this.send(this.files, place ? place.dataset.target : this.target);
      },
    },
    computed: {
      told() {
        const percent = this.percent === null ? "" : this.percent;
        return this.files.length === 1 ? this.fill(this.words.sending_one, { name: this.files[0][0], percent })
          : this.fill(this.words.sending, { count: this.files.length, percent });
      },
    },
    template: `
      <div v-if="over" class="mv-over-window"><div><v-icon icon="mdi-tray-arrow-down" size="48" />
        <div>{{ hint ? fill(words.drop_here, { hint }) : words.drop_anywhere }}</div></div></div>
      <div v-if="looking || percent !== -1 || problem" class="mv-sending" :role="problem ? 'alert' : 'status'">
        <div v-if="problem" class="mv-problem">{{ problem }}</div>
        <button v-if="problem" type="button" class="mv-pick" @click="problem = ''">{{ words.dismiss }}</button>
        <template v-else><div>{{ looking ? words.looking_up : told }}</div>
          <v-progress-linear :model-value="percent" :indeterminate="looking || percent === null" height="4" color="primary" /></template>
      </div>`,
  };

  window.mvreg_files = { install(app) {
    const mixins = [window.mvregWords, sending]; // of page.js, which may be loaded after this
    app.component("mv-files", { ...FilePicker, mixins });
    app.component("mv-window-drop", { ...WindowDrop, mixins });
  } };
})();
