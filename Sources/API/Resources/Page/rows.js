// A long list of which the rows in sight exist. The window scrolls; arrow keys go from row to row.

/** Rows beyond the edges that exist too. */
const BEYOND = 4;

/** @template Item */
export class Rows {
  #list;
  #options;
  /** @type {Map<Item, HTMLElement>} */
  #rows = new Map();
  /** @type {Item|null} the one that Tab reaches */
  #current = null;
  #frame = 0;
  #timer = 0;
  #filledAt = 0;
  #isDrawing = false;
  #height = 0;
  /** @type {Item[]} */
  #items = [];

  /**
   * @param {HTMLElement} list an `ol`
   * @param {{make: () => HTMLElement, fill: (row: HTMLElement, item: Item) => void, open?: (item: Item) => void}}
   *   options an empty row; showing an item in one; what Enter does
   */
  constructor(list, options) {
    this.#list = list;
    this.#options = options;
    list.addEventListener('keydown', (event) => this.#key(event));
    list.addEventListener('focusin', (event) => {
      // A row that gives its focus to another button of its own is not chosen by that.
      if (this.#isDrawing) return;
      const row = /** @type {HTMLElement} */ (event.target).closest('.row');
      for (const [item, element] of this.#rows) if (element === row && item !== this.#current) this.#select(item);
    });
    addEventListener('scroll', () => this.#soon(), { passive: true });
    addEventListener('resize', () => { this.#height = 0; this.#soon(); });
  }

  get items() { return this.#items; }
  /** @param {Item[]} items in their order */
  set items(items) {
    this.#items = items;
    this.#soon();
  }

  /** Shows what changed in the items, at most four times a second. */
  refresh() {
    if (this.#timer || this.#frame) return;
    const wait = Math.max(0, 250 - (performance.now() - this.#filledAt));
    this.#timer = setTimeout(() => { this.#timer = 0; this.#soon(); }, wait);
  }

  #soon() { this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#draw(); }); }

  #rowHeight() {
    return this.#height ||= parseFloat(getComputedStyle(this.#list).getPropertyValue('--row')) || 68;
  }

  #draw() {
    if (this.#list.offsetParent === null) return;
    this.#isDrawing = true;
    try { this.#drawRows(); } finally { this.#isDrawing = false; }
  }

  #drawRows() {
    this.#filledAt = performance.now();
    const height = this.#rowHeight();
    const items = this.#items;
    this.#list.style.height = `${items.length * height}px`;
    const top = this.#list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - BEYOND);
    const last = Math.min(items.length, Math.ceil((innerHeight - top) / height) + BEYOND);
    /** @type {Map<Item, number>} */
    const wanted = new Map();
    for (let index = first; index < last; index++) wanted.set(items[index], index);
    const current = this.#current === null ? -1 : items.indexOf(this.#current);
    if (current < 0) this.#current = items[first < last ? Math.max(0, Math.ceil(-top / height)) : 0] ?? null;
    else if (!wanted.has(this.#current)) wanted.set(this.#current, current);
    let hadFocus = false;
    const left = new Set();
    for (const [item, row] of this.#rows) {
      if (wanted.has(item)) continue;
      hadFocus ||= row.contains(document.activeElement);
      this.#rows.delete(item);
      left.add(row);
    }
    const ordered = [...wanted].sort(([, one], [, other]) => one - other);
    let place = this.#list.firstElementChild;
    for (const [item, index] of ordered) {
      let row = this.#rows.get(item);
      if (row) while (left.has(place)) place = place.nextElementSibling;
      else {
        // Shown where it is, it costs least.
        row = left.has(place) ? place : [...left][0] ?? this.#make();
        left.delete(row);
        this.#rows.set(item, row);
      }
      if (row === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row, place);
      row.style.transform = `translateY(${index * height}px)`;
      set(row, 'aria-posinset', index + 1);
      set(row, 'aria-setsize', items.length);
      this.#reach(row, item === this.#current);
      this.#options.fill(row, item);
    }
    for (const row of left) row.remove();
    if (hadFocus && this.#current !== null) this.#rows.get(this.#current)?.focus({ preventScroll: true });
  }

  #make() {
    const row = this.#options.make();
    row.classList.add('row');
    return row;
  }

  #reach(row, isCurrent) {
    if (row.tabIndex === (isCurrent ? 0 : -1) && row.dataset.reached) return;
    row.dataset.reached = 'yes';
    row.tabIndex = isCurrent ? 0 : -1;
    for (const control of row.querySelectorAll('button, input')) control.tabIndex = row.tabIndex;
  }

  #select(item) {
    const before = this.#rows.get(this.#current);
    if (before) this.#reach(before, false);
    this.#current = item;
    const row = this.#rows.get(item);
    if (row) this.#reach(row, true);
  }

  #key(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight()) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const isOnRow = event.target.classList?.contains('row');
    if (event.key === 'Enter' && isOnRow && this.#options.open) {
      event.preventDefault();
      return this.#options.open(this.#current);
    }
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement && event.target.type !== 'checkbox') return;
    event.preventDefault();
    const index = this.#items.indexOf(this.#current);
    const next = Math.max(0, Math.min(this.#items.length - 1, index + step));
    this.#select(this.#items[next]);
    const height = this.#rowHeight();
    const top = this.#list.getBoundingClientRect().top + next * height;
    const head = 140;
    if (top < head) scrollBy({ top: top - head });
    else if (top + height > innerHeight - 24) scrollBy({ top: top + height - innerHeight + 24 });
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#draw();
    this.#rows.get(this.#current)?.focus({ preventScroll: true });
  }
}

/** Sets an attribute where it is another. */
export function set(element, name, value) {
  const text = String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Sets a text where it is another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
