// What both pages share: their language, making elements, signing in and out, the connection's state.

import { FerryClient } from './ferry.js';
import { Patience } from './ferry-request.js';
import { TEXTS } from './texts.js';
import { shown } from './format.js';

const GLYPHS = {
  pause: 'M9 6v12M15 6v12', play: 'M8 5.5v13l10.5-6.5z', close: 'M6 6l12 12M18 6L6 18', check: 'M5 12.5l4.5 4.5L19 7.5',
  retry: 'M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4', alert: 'M12 8v5M12 16.5v.01M12 3.5l9 16H3z',
  upload: 'M12 15V4m0 0L7.5 8.5M12 4l4.5 4.5M4 15v3.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15',
  more: 'M9 6l6 6-6 6', trash: 'M5 7h14M10 7V4.5h4V7M7 7l1 12.5h8L17 7', replace: 'M4 9h13l-3-3M20 15H7l3 3',
};

// Words.

const language = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase())
  .find((tag) => tag in TEXTS) ?? 'en';
const plural = new Intl.PluralRules(language);
document.documentElement.lang = language === 'zh' ? 'zh-Hans' : language;

/**
 * A text in the user's language.
 * @param {string} key
 * @param {Record<string, string|number>} [values] for the names in braces; `count` chooses between the forms of a text
 */
export function t(key, values = {}) {
  let text = TEXTS[language][key] ?? TEXTS.en[key] ?? key;
  if (Array.isArray(text)) text = text[plural.select(Number(values.n ?? values.count)) === 'one' ? 0 : text.length - 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

/** Whether there is such a text. @param {string} key */
export const hasText = (key) => key in TEXTS.en;

/**
 * What went wrong, in the user's language where it has words for it.
 * @param {{reason?: string, problem?: string, detail?: string, message?: string}} error of an upload, or a FerryError
 */
export function why({ reason, problem, detail, message }) {
  const name = reason ?? problem;
  return hasText(`reason.${name}`) ? t(`reason.${name}`) : shown(detail || message || name);
}

/** Puts the user's language where the document has English. */
function translate() {
  for (const element of document.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
  }
  for (const element of document.querySelectorAll('[data-t-hint]')) element.placeholder = t(element.dataset.tHint);
  document.title = t(document.body.dataset.title);
}

// Elements. Whatever comes from outside is only ever made a text or an attribute, never markup.

/**
 * @param {string} tag with classes: `p.soft.small`
 * @param {Record<string, any>} [properties] attributes; functions are listeners
 * @param {...(Node|string|null|undefined|false)} children
 */
export function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === 'function') element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== undefined && value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** @param {string} tag @param {Record<string, string|number>} attributes */
export function vector(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {keyof typeof GLYPHS} name */
export const glyph = (name) =>
  vector('svg', { class: 'glyph', viewBox: '0 0 24 24', 'aria-hidden': 'true' }, vector('path', { d: GLYPHS[name] }));

/** A button with a sign only; its name is for those who do not see it, and for those who point at it. */
export function iconButton(sign, label, click) {
  return make('button.icon', { type: 'button', 'aria-label': label, title: label, click }, glyph(sign));
}

/** @param {string} id @returns {any} */
export const by = (id) => document.getElementById(id);

let liveTimer = 0;
let said = [];

/** Tells those who listen instead of looking; what comes within a second is told together. @param {string} text */
export function announce(text) {
  said.push(text);
  liveTimer ||= setTimeout(() => {
    liveTimer = 0;
    by('live').textContent = said.slice(-3).join(' ');
    said = [];
  }, 1000);
}

// Who is there.

/** @type {FerryClient} */
export const client = new FerryClient({ patience: Infinity, onUnauthorized: signInAgain });
/** @type {{owner: string, roles: string[], credential: string, targets: string[]}|null} */
export let person = null;

let asking = null;

/** Whether to try again: what was refused may have been on its way while somebody signed in. */
async function signInAgain() {
  try { await client.session(); } catch (problem) { if (problem.status === 401) return signIn(); }
  return true;
}

/** Shows the form until somebody is signed in. @returns {Promise<boolean>} true */
function signIn() {
  asking ??= new Promise((resolve) => {
    const dialog = by('sign-in'), field = by('token'), error = by('sign-in-error');
    dialog.oncancel = (event) => event.preventDefault();
    // Browsers let nobody prevent it twice.
    dialog.onclose = () => { if (asking && !dialog.open) dialog.showModal(); };
    dialog.querySelector('form').onsubmit = async (event) => {
      event.preventDefault();
      error.textContent = '';
      try {
        const before = person?.owner;
        person = await client.signIn(field.value.trim());
        field.value = '';
        // Somebody else's list must not be gone on with.
        if (before && before !== person.owner) return location.reload();
        asking = null;
        dialog.close();
        show();
        client.wake();
        resolve(true);
      } catch (problem) {
        error.textContent = [401, 422].includes(problem.status) ? t('signInRefused') : why(problem);
        field.focus();
        field.select();
      }
    };
    if (!dialog.open) dialog.showModal();
    field.focus();
  });
  return asking;
}

function show() {
  by('owner').textContent = shown(person.owner);
  by('who').hidden = false;
  by('sign-out').hidden = person.credential !== 'session';
  by('to-ops').hidden = !person.roles.includes('operator');
  by('to-upload').hidden = !person.roles.includes('uploader');
  by('main').hidden = false;
}

/**
 * Begins a page: says who is there, asking if need be.
 * @param {string} role what the page is for
 * @returns {Promise<boolean>} whether the person may use it
 */
export async function begin(role) {
  translate();
  for (const element of document.querySelectorAll('[data-glyph]')) element.prepend(glyph(element.dataset.glyph));
  by('sign-out').addEventListener('click', signOut);
  for (let failures = 0; !person; failures++) {
    try {
      person = await client.session();
    } catch (problem) {
      const isAway = problem.status !== 401;
      by('away').hidden = !isAway;
      if (isAway) by('main').hidden = false;
      await (isAway ? client.wait(Patience.delay(Math.min(failures, 4), problem.retryAfter)) : signIn());
    }
  }
  by('away').hidden = true;
  show();
  const isFit = person.roles.includes(role);
  by('not-yours').hidden = isFit;
  by('page').hidden = !isFit;
  if (isFit) watchConnection();
  return isFit;
}

async function signOut() {
  try { await client.signOut(); } catch (problem) {
    // A session that is not known has ended.
    if (problem.status !== 401) {
      if (await confirm(t('signOutFailed'), t('signOutText'), t('signOut'))) signOut();
      return;
    }
  }
  // What was sent stays on the server; nothing of it stays here.
  onbeforeunload = null;
  location.reload();
}

function watchConnection() {
  let timer = 0;
  client.watch(({ type }) => {
    if (type === 'lost') timer ||= setTimeout(() => { by('away').hidden = false; }, 3000);
    if (type !== 'open') return;
    clearTimeout(timer);
    timer = 0;
    by('away').hidden = true;
  });
  addEventListener('offline', () => { by('away').hidden = false; });
}

/**
 * Asks before something that cannot be taken back.
 * @param {string} title
 * @param {string} text
 * @param {string} action what the button says
 * @returns {Promise<boolean>}
 */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const dialog = make('dialog', { 'aria-labelledby': 'confirm-title' },
      make('form', { method: 'dialog' },
        make('h2', { id: 'confirm-title' }, title), make('p.soft', {}, text),
        make('div.actions', {}, make('button.button', { value: 'no', autofocus: true }, t('back')),
          make('button.button.danger', { value: 'yes' }, action))));
    dialog.addEventListener('close', () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
