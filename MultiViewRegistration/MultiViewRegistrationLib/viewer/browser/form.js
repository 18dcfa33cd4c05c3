// Draws the form of a presenter (session/presenters/form.py): one kind of control after the other, those in rows and groups by itself again.
(() => {
  const ICONS = { up: "mdi-arrow-up", down: "mdi-arrow-down", remove: "mdi-delete-outline", first: "mdi-skip-previous",
    back: "mdi-step-backward", on: "mdi-step-forward", last: "mdi-skip-next", play: "mdi-play", pause: "mdi-pause" };
  const TONES = { "": "mv-text", error: "mv-problem", caution: "mv-caution", quiet: "mv-fact", strong: "mv-name" };

  const Form = {
    name: "mv-form",
    inject: ["trame"],
    props: { controls: Array, section: String },
    data: () => ({ fetching: "" }),
    methods: {
      tone: control => TONES[control.tone],
      at(control) { return `${this.section}/${control.key}`; },
      rowActs: control => control.acts && !control.cells && control.enabled,
      icon: control => ICONS[control.icon],
      act(control, ...args) { return this.trame.trigger("mvreg_act", [this.section, control.key, ...args]); },
      press(control) {
        if (!control.question || window.confirm(control.question)) this.act(control);
      },
      async fetch(control) {
        this.fetching = control.key;
        try {
          const address = await this.trame.trigger("mvreg_download", [this.section, control.key]);
          if (address) Object.assign(document.createElement("a"), { href: address, download: "" }).click();
        } finally { this.fetching = ""; }
      },
      items: control => control.options.map(o => ({ ...o, props: { disabled: control.refused.includes(o.value) } })),
    },
    template: `
      <template v-for="c in controls" :key="c.key">
        <div v-if="c.kind === 'Text'" :class="tone(c)" :title="c.tip" :role="c.tone === 'error' ? 'alert' : 'status'">{{ c.label }}</div>
        <v-btn v-else-if="c.kind === 'Button'" :data-key="at(c)" :disabled="!c.enabled" :title="c.tip || c.label" :aria-label="c.icon ? c.label : undefined"
          :aria-pressed="c.on === null ? undefined : String(c.on)" :color="c.primary || c.on ? 'primary' : undefined"
          :variant="c.primary ? 'flat' : c.icon ? 'text' : 'tonal'" :size="c.primary ? 'default' : 'small'" @click="press(c)">
          <v-icon v-if="c.icon" :icon="icon(c)" /><template v-else>{{ c.label }}</template></v-btn>
        <v-checkbox v-else-if="c.kind === 'Switch'" :label="c.label" :title="c.tip" :disabled="!c.enabled" :model-value="c.on"
          @update:model-value="act(c, $event)" />
        <v-radio-group v-else-if="c.kind === 'Choice' && c.spread" inline :label="c.label" :title="c.tip" :disabled="!c.enabled"
          :model-value="c.value" @update:model-value="act(c, $event)">
          <v-radio v-for="o in c.options" :key="o.value" :label="o.title" :title="o.tip" :value="o.value" :disabled="c.refused.includes(o.value)" />
        </v-radio-group>
        <v-select v-else-if="c.kind === 'Choice'" :data-key="at(c)" class="mt-2" :label="c.label" :title="c.tip" :disabled="!c.enabled" :items="items(c)"
          :model-value="c.value" @update:model-value="act(c, $event)" />
        <v-textarea v-else-if="c.kind === 'TextField' && c.rows > 1" :data-key="at(c)" class="mt-2 mv-mono" variant="outlined" density="compact" hide-details
          :rows="c.rows" :label="c.label" :title="c.tip" :disabled="!c.enabled" :placeholder="c.hint" :model-value="c.text"
          @change="act(c, $event.target.value)" />
        <v-text-field v-else-if="c.kind === 'TextField'" :data-key="at(c)" class="mt-2" :label="c.label" :title="c.tip" :disabled="!c.enabled"
          :placeholder="c.hint" :suffix="c.unit" :model-value="c.text" :error-messages="c.problem || []" :hide-details="!c.problem"
          @change="act(c, $event.target.value)" />
        <v-slider v-else-if="c.kind === 'Slider'" class="mt-2" :label="c.label" :aria-label="c.label" :title="c.tip" :disabled="!c.enabled"
          :min="c.low" :max="c.high" :step="c.step" :model-value="c.value" @update:model-value="act(c, $event)" />
        <div v-else-if="c.kind === 'Table'" class="mv-scroll" tabindex="0"><table v-if="c.lines.length" class="mv-table" :aria-label="c.label">
          <thead><tr><th v-for="title in c.columns">{{ title }}</th></tr></thead>
          <tbody><tr v-for="line in c.lines" :key="line.id" :class="{ selected: line.id === c.selected, acts: rowActs(c) }"
            @click="rowActs(c) && act(c, line.id, 0)">
            <td v-for="(cell, n) in line.cells" :title="cell.tip" :class="cell.tone ? tone(cell) : ''">
              <input v-if="n === 0 && line.on !== null" type="checkbox" @click.stop :checked="line.on" :aria-label="cell.text"
                @change="act(c, line.id, $event.target.checked)" />
              <span v-if="n === 0 && line.colour" class="mv-dot" :style="{ background: line.colour }" />
              <div v-if="cell.share !== null" class="mv-bar-out"><div class="mv-bar-in" :style="{ width: 100 * cell.share + '%' }" /></div>
              <button v-if="c.acts && (c.cells || n === 0)" type="button" class="mv-link" :disabled="!c.enabled"
                :aria-current="String(line.id === c.selected)" @click.stop="act(c, line.id, n)">{{ cell.text || '\u2013' }}</button>
              <span v-else>{{ cell.text }}</span>
            </td></tr></tbody></table></div>
        <mv-fields v-else-if="c.kind === 'FieldTable'" :control="c" :section="section" />
        <div v-else-if="c.kind === 'ProgressBar'" role="status" class="mt-2">
          <v-progress-linear :model-value="c.percent" :indeterminate="c.percent === null" height="6" color="primary" />
          <div class="mv-fact">{{ c.label }}</div></div>
        <mv-files v-else-if="c.kind === 'Files'" :data-key="at(c)" :target="at(c)" :hint="c.hint" :accept="c.suffixes.join()"
          :folder="c.folders" :disabled="!c.enabled"><div class="mv-name">{{ c.label }}</div></mv-files>
        <v-btn v-else-if="c.kind === 'Download'" prepend-icon="mdi-download" :color="c.primary ? 'primary' : undefined"
          :variant="c.primary ? 'flat' : 'tonal'" :size="c.primary ? 'default' : 'small'" :title="c.tip"
          :disabled="!c.enabled" :loading="fetching === c.key" @click="fetch(c)">{{ c.label }}</v-btn>
        <a v-else-if="c.kind === 'Link'" class="mv-open" :href="c.url" target="_blank" :title="c.tip">{{ c.label }}</a>
        <figure v-else-if="c.kind === 'Picture'" class="mv-picture" :title="c.tip">
          <img :src="c.url || 'data:image/svg+xml,' + encodeURIComponent(c.svg)" :alt="c.label || c.tip"
            :style="{ maxHeight: c.height + 'px' }" :class="{ acts: c.acts }"
            @click="c.acts && act(c, $event.offsetX / $event.target.clientWidth, $event.offsetY / $event.target.clientHeight)" />
          <figcaption class="mv-fact">{{ c.label }}</figcaption></figure>
        <div v-else-if="c.kind === 'SideBySide'" class="mv-row"><mv-form :controls="c.children" :section="section" /></div>
        <details v-else-if="c.kind === 'Group' && c.open !== null" class="mv-details" :open="c.open"><summary>{{ c.label }}</summary>
          <mv-form :controls="c.children" :section="section" /></details>
        <section v-else-if="c.kind === 'Group'"><h2 class="mv-sub">{{ c.label }}</h2>
          <mv-form :controls="c.children" :section="section" /></section>
      </template>`,
  };

  window.mvreg_form = { install(app) { app.component("mv-form", Form); } };
})();
