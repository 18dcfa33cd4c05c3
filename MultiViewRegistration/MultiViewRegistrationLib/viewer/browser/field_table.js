// A table of fields (FieldTable of session/presenters/form.py); errors and warnings are written below their row.
// Tab goes on in the row, Enter and the arrows go on in the column; a row that was copied from a spreadsheet is pasted field by field.
(() => {
  // A field that shows the text of the server, but not while the user types in it. The server gets the text when the field is left.
  const Cell = {
    props: { field: Object, cell: Object, described: String },
    emits: ["done"],
    data() { return { text: this.field.text, typing: false }; },
    watch: {
      "field.text"(text) { if (!this.typing) this.text = text; },
      "field.of"() { this.typing = false; this.text = this.field.text; },
    },
    methods: {
      type(event) {
        this.typing = true;
        this.text = event.target.value;
      },
      done() {
        if (this.typing) this.$emit("done", this.text);
        this.typing = false;
      },
      put(text) { // as if it were typed
        this.text = text;
        this.typing = true;
        this.done();
      },
    },
    template: `<input type="text" class="mv-cell-input" spellcheck="false" autocomplete="off" :value="text" :placeholder="field.hint"
      :disabled="!field.enabled" :aria-label="field.label" :aria-invalid="String(!!cell.error)" :aria-describedby="described"
      :aria-required="String(cell.missing)" @input="type" @change="done" @blur="done" />`,
  };

  const FieldTable = {
    inject: ["trame"],
    components: { "mv-cell": Cell },
    props: { control: Object, section: String },
    created() { this.cells = {}; }, // by the names of their fields
    methods: {
      act(key, ...args) { return this.trame.trigger("mvreg_act", [this.section, key, ...args]); },
      choose(line) { if (line.id !== this.control.selected && this.control.selected) this.act(this.control.key, line.id); },
      note: (line, cell) => (line.tone === "error" ? cell.error : cell.caution) ? `note-${line.id}` : undefined,
      tip(n, cell) {
        const origin = cell.origin ? `${cell.field.text || this.title(cell)} (${cell.origin})\n` : "";
        return origin + (this.control.columns[n + 1].tip || "");
      },
      title: cell => ((cell.field.options || []).find(o => o.value === cell.field.value) || { title: cell.field.label }).title,
      tones: cell => ({ error: !!cell.error, caution: !cell.error && !!cell.caution, missing: cell.missing, given: !!cell.origin,
        read: cell.field.kind === "Text" }),
      fields(element) { return [...element.querySelectorAll("input.mv-cell-input, select.mv-cell-input")]; },
      move(event, by) { // up or down in the column; after the last row on in the next column
        const table = event.currentTarget, column = event.target.closest("td").cellIndex;
        const rows = [...table.querySelectorAll("tr.mv-fields-row")], row = rows.indexOf(event.target.closest("tr")) + by;
        const at = (r, c) => rows[r] && rows[r].cells[c] && rows[r].cells[c].querySelector(".mv-cell-input");
        let next = at(row, column);
        for (let c = column + 1; !next && by > 0 && c < rows[0].cells.length; c++) next = at(0, c);
        if (!next) return event.target.blur();
        next.focus();
        if (next.select) next.select();
      },
      key(event) {
        const text = event.target.tagName === "INPUT";
        if (event.key === "Enter") { event.preventDefault(); this.move(event, event.shiftKey ? -1 : 1); }
        else if (text && event.key === "ArrowDown") this.move(event, 1);
        else if (text && event.key === "ArrowUp") this.move(event, -1);
      },
      paste(event) { // a row of a spreadsheet
        const text = event.clipboardData.getData("text").trim();
        if (event.target.tagName !== "INPUT" || !/[\t\n]/.test(text)) return;
        event.preventDefault();
        const inputs = this.fields(event.currentTarget).filter(each => each.tagName === "INPUT");
        const first = inputs.indexOf(event.target);
        text.split(/[\t\r\n]+/).forEach((part, n) => {
          const input = inputs[first + n];
          if (input) this.cells[input.getAttribute("aria-label")].put(part.trim());
        });
      },
      keep(element, field) { this.cells[field.label] = element; },
    },
    template: `
      <div class="mv-fields-scroll"><table class="mv-fields" :aria-label="control.label" @keydown="key" @paste="paste">
        <thead><tr><th v-for="column in control.columns" :key="column.value" scope="col" :title="column.tip">{{ column.title }}</th></tr></thead>
        <tbody v-for="line in control.lines" :key="line.id" :class="{ selected: line.id === control.selected }" @focusin="choose(line)">
          <tr class="mv-fields-row"><th scope="row" :title="line.tip">
              <button type="button" class="mv-link" :aria-current="String(line.id === control.selected)" @click="choose(line)">
                <span v-if="line.colour" class="mv-dot" :style="{ background: line.colour }" />{{ line.title }}</button></th>
            <td v-for="(cell, n) in line.cells" :key="cell.field.key" :class="tones(cell)" :title="tip(n, cell)"
              :style="{ minWidth: (cell.field.text || '').length + 3 + 'ch' }">
              <mv-cell v-if="cell.field.kind === 'TextField'" :field="cell.field" :cell="cell" :described="note(line, cell)"
                :ref="e => keep(e, cell.field)" :data-key="section + '/' + cell.field.key" @done="act(cell.field.key, $event)" />
              <select v-else-if="cell.field.kind === 'Choice'" class="mv-cell-input" :data-key="section + '/' + cell.field.key" :value="cell.field.value" :disabled="!cell.field.enabled"
                :aria-label="cell.field.label" :aria-invalid="String(!!cell.error)" :aria-describedby="note(line, cell)"
                :aria-required="String(cell.missing)" @change="act(cell.field.key, $event.target.value)">
                <option v-for="o in cell.field.options" :key="o.value" :value="o.value">{{ o.title }}</option></select>
              <span v-else>{{ cell.field.label }}</span></td></tr>
          <tr v-if="line.note" class="mv-fields-note"><td /><td :colspan="line.cells.length" :id="'note-' + line.id" :class="line.tone"
            role="status">{{ line.note }}</td></tr>
        </tbody></table></div>`,
  };

  window.mvreg_fields = { install(app) { app.component("mv-fields", FieldTable); } };
})();
