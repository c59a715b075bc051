// Dead letters: why each stands still, sending one, some or all on their way again, and giving them up.

import { announce, by, client, confirm, iconButton, make, t, why } from './page.js';
import { Rows, set, say } from './rows.js';
import { showDetail } from './ops-live.js';
import * as format from './format.js';

/** The most that are shown; "all matching" means all there are, shown or not. */
const MOST = 5_000;
const REASONS = ['target-exists', 'digest-mismatch', 'part-damaged', 'target-corrupts', 'disk-full', 'quota-exceeded',
  'root-missing', 'root-refused', 'permission-denied', 'login-refused', 'host-key-mismatch', 'no-common-algorithm',
  'path-refused', 'target-unknown', 'target-unreachable', 'target-failed', 'commit-unknown', 'staging-failed', 'poison',
  'internal-error'];

export class DeadLetters {
  /** @type {any[]} the latest failure first */
  #letters = [];
  #chosen = new Set();
  #rows;
  #timer = 0;
  /** Ends when the latest reading has ended. */
  #last = Promise.resolve();
  /** The reading that is to begin then. @type {Promise<void>|null} */
  #next = null;

  constructor() {
    this.#rows = new Rows(by('dead-rows'), {
      make: () => this.#make(), fill: (row, letter) => this.#fill(row, letter), open: (letter) => showDetail(letter.id),
    });
    by('dead-reason').append(make('option', { value: '' }, t('any')),
      ...REASONS.map((reason) => make('option', { value: reason }, t(`reason.${reason}`))));
    by('dead-filters').addEventListener('submit', (event) => event.preventDefault());
    by('dead-search').addEventListener('input', () => this.#draw());
    for (const id of ['dead-reason', 'dead-target']) by(id).addEventListener('change', () => this.load().catch(() => {}));
    by('dead-all').addEventListener('change', () => {
      for (const letter of this.#listed()) {
        if (by('dead-all').checked) this.#chosen.add(letter.id); else this.#chosen.delete(letter.id);
      }
      this.#draw();
    });
    by('dead-replay').addEventListener('click', () => this.#replay(this.#listed().filter(({ id }) => this.#chosen.has(id))));
    by('dead-discard').addEventListener('click', () => this.#discard(this.#listed().filter(({ id }) => this.#chosen.has(id))));
    this.#listenToReplayAll();
  }

  /** Reads the list soon: something failed, or is no longer a failure. */
  soon() { this.#timer ||= setTimeout(() => { this.#timer = 0; this.load().catch(() => {}); }, 300); }

  get #filter() {
    const [reason, target] = [by('dead-reason').value, by('dead-target').value];
    return { ...(reason && { reason }), ...(target && { target }) };
  }

  /** Reads the list, once it is not being read: all who ask meanwhile have the same answer. */
  load() {
    return this.#next ??= this.#last.then(() => {
      this.#next = null;
      const reading = this.#read();
      this.#last = reading.catch(() => {});
      return reading;
    });
  }

  async #read() {
    const filter = this.#filter, found = [];
    let cursor;
    do {
      const page = await client.deadLetters({ ...filter, limit: 1000, cursor });
      found.push(...page.deadLetters);
      cursor = page.next ?? undefined;
    } while (cursor && found.length < MOST);
    // Another question has been asked meanwhile.
    if (JSON.stringify(filter) !== JSON.stringify(this.#filter)) return;
    // The same objects for the same letters, so that their rows stay.
    const known = new Map(this.#letters.map((letter) => [letter.id, letter]));
    this.#letters = found.map((letter) => (known.has(letter.id) ? Object.assign(known.get(letter.id), letter) : letter));
    const ids = new Set(found.map(({ id }) => id));
    for (const id of this.#chosen) if (!ids.has(id)) this.#chosen.delete(id);
    if (Object.keys(filter).length === 0) {
      const text = format.count(found.length) + (cursor ? '+' : '');
      say(by('dead-count'), text);
      by('dead-count').className = found.length > 0 ? 'bad-text' : '';
      say(by('dead-more'), found.length > 0 ? t('someDead', { n: found.length }) : t('noneDead'));
      say(by('dead-badge'), text);
      by('dead-badge').hidden = found.length === 0;
    }
    this.#draw();
  }

  #listed() {
    const words = by('dead-search').value.trim().toLowerCase();
    if (!words) return this.#letters;
    return this.#letters.filter(({ id, upload }) => upload.path.toLowerCase().includes(words)
      || upload.owner.toLowerCase().includes(words) || id.startsWith(words));
  }

  #draw() {
    const listed = this.#listed();
    const chosen = listed.filter(({ id }) => this.#chosen.has(id)).length;
    this.#rows.items = listed;
    this.#rows.refresh();
    by('dead-none').hidden = listed.length > 0;
    say(by('dead-none'), by('dead-search').value || Object.keys(this.#filter).length > 0 ? t('noMatch') : t('noDead'));
    by('dead-all').checked = chosen > 0 && chosen === listed.length;
    by('dead-all').indeterminate = chosen > 0 && chosen < listed.length;
    by('dead-all').disabled = listed.length === 0;
    const isSearch = by('dead-search').value.trim() !== '';
    say(by('dead-selected'), chosen > 0 ? t('selected', { count: format.count(chosen), n: chosen })
      : isSearch ? t('searchSelects') : '');
    for (const id of ['dead-replay', 'dead-discard']) by(id).disabled = chosen === 0;
    // The server knows nothing of the search: all would be replayed, also what is not in sight.
    by('dead-matching').disabled = isSearch || this.#letters.length === 0;
  }

  #make() {
    const of = (event) => this.#letters.find(({ id }) => id === event.target.closest('.row').dataset.id);
    const box = make('input', { type: 'checkbox', change: (event) => {
      const { id } = of(event);
      if (box.checked) this.#chosen.add(id); else this.#chosen.delete(id);
      this.#draw();
    } });
    return make('li.dead', { 'data-tone': 'bad' }, box,
      make('div.ellipsis', {}, make('p.name.ellipsis'), make('p.small.soft.ellipsis')),
      make('div.state', {}, make('p', {}, make('strong')), make('p.small.soft')),
      make('div.small.soft.when', {}, make('p'), make('p')),
      make('div.buttons', {}, iconButton('retry', t('replay'), (event) => this.#replay([of(event)])),
        iconButton('trash', t('discard'), (event) => this.#discard([of(event)]))));
  }

  #fill(row, letter) {
    const [box, names, state, when, buttons] = row.children;
    const { upload } = letter;
    const name = format.shown(upload.path);
    row.dataset.id = letter.id;
    box.checked = this.#chosen.has(letter.id);
    set(box, 'aria-label', t('select', { name }));
    say(names.children[0], name);
    names.children[0].title = name;
    const size = upload.size === null ? '' : format.bytes(upload.size);
    say(names.children[1], [upload.target, format.shown(upload.owner), size].filter(Boolean).join(' · '));
    const error = letter.lastError ?? { reason: letter.reason, detail: '' };
    say(state.children[0].firstChild, why(error));
    const detail = format.shown(error.detail);
    say(state.children[1], detail);
    state.children[1].title = detail;
    const tries = (letter.attempts ?? 0) + 1;
    say(when.children[0], letter.failedAt ? format.ago(letter.failedAt) : '');
    say(when.children[1], t('tried', { n: tries }));
    when.title = format.time(letter.failedAt);
    for (const [button, deed] of [[buttons.children[0], 'do.replayOne'], [buttons.children[1], 'do.discardOne']]) {
      set(button, 'aria-label', t(deed, { name }));
      set(button, 'title', t(deed, { name }));
    }
  }

  async #replay(letters) {
    await this.#each(letters, ({ id }) => client.replay(id), (name) => announce(t('replaySaid', { name })));
  }

  async #discard(letters) {
    const count = letters.length;
    if (!await confirm(t('discardTitle', { count: format.count(count), n: count }), t('discardText'), t('discard'))) return;
    await this.#each(letters, ({ id }) => client.discard(id), () => {});
  }

  /** A few at a time; what does not work is told. */
  async #each(letters, deed, then) {
    for (let at = 0; at < letters.length; at += 8) {
      await Promise.all(letters.slice(at, at + 8).map(async (letter) => {
        const name = format.shown(letter.upload.path);
        try { await deed(letter); then(name); } catch (error) { announce(`${name}: ${why(error)}`); }
      }));
    }
    await this.load().catch(() => {});
  }

  #listenToReplayAll() {
    const dialog = by('replay'), result = by('replay-result');
    by('dead-matching').addEventListener('click', () => {
      const filter = this.#filter;
      result.textContent = '';
      by('replay-filter').textContent = [filter.reason && t(`reason.${filter.reason}`), filter.target].filter(Boolean).join(' · ') || t('deadLetters');
      dialog.showModal();
    });
    by('replay-back').addEventListener('click', () => dialog.close());
    const ask = async (dryRun) => {
      const [pace, most] = [by('replay-pace').valueAsNumber, by('replay-most').valueAsNumber];
      try {
        const summary = await client.replayAll({
          ...this.#filter, dryRun, ...(pace > 0 && { ratePerSecond: pace }), ...(most > 0 && { limit: most }),
        });
        const skipped = Object.values(summary.skipped).reduce((sum, count) => sum + count, 0);
        result.textContent = dryRun ? t('dryResult', { count: format.count(summary.matched), n: summary.matched })
          : t('replayResult', { replayed: format.count(summary.replayed), skipped: format.count(skipped) });
        if (!dryRun) { announce(result.textContent); dialog.close(); this.soon(); }
      } catch (error) {
        // Here it is a number that is not accepted, and no name.
        result.textContent = error.problem === 'invalid-request' ? format.shown(error.message) : why(error);
      }
    };
    by('replay-dry').addEventListener('click', () => ask(true));
    dialog.querySelector('form').addEventListener('submit', (event) => { event.preventDefault(); ask(false); });
  }
}
