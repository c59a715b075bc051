// Sizes, rates and times as the user's own country writes them.

const locale = navigator.languages?.[0] ?? 'en';
const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'];
const formats = new Map();

function numbers(key, options) {
  let format = formats.get(key);
  if (!format) formats.set(key, format = new Intl.NumberFormat(locale, options));
  return format;
}

/** @param {number} value */
export const count = (value) => numbers('count', {}).format(value);

/** @param {number} share 0 to 1; never shown as whole before it is */
export const percent = (share) =>
  numbers('percent', { style: 'percent', maximumFractionDigits: 0 }).format(share < 1 ? Math.min(share, 0.99) : 1);

/** @param {number} value */
export function bytes(value) {
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) { value /= 1000; unit++; }
  const digits = unit < 2 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return numbers(`${unit} ${digits}`, {
    style: 'unit', unit: UNITS[unit], unitDisplay: unit === 0 ? 'long' : 'short', maximumFractionDigits: digits,
  }).format(value);
}

/** @param {number} value bytes a second */
export const rate = (value) => `${bytes(value)}/s`;

/** @param {number} seconds */
export function duration(seconds) {
  const unit = (value, name) =>
    numbers(name, { style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits: 0 }).format(value);
  if (seconds < 60) return unit(Math.max(1, Math.ceil(seconds)), 'second');
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(minutes, 'minute');
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${unit(hours, 'hour')} ${unit(minutes % 60, 'minute')}`;
  return unit(Math.round(hours / 24), 'day');
}

const days = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
const minute = new Intl.DateTimeFormat(locale, { timeStyle: 'short' });

/** @param {string|undefined|null} text a time of the server's; the day is left out today */
export function time(text) {
  if (!text) return '';
  const date = new Date(text);
  return (date.toDateString() === new Date().toDateString() ? clock : days).format(date);
}

/** @param {Date} date */
export const hour = (date) => minute.format(date);

const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });

/** @param {string} text a time of the server's */
export function ago(text) {
  const seconds = (Date.now() - new Date(text).getTime()) / 1000;
  if (seconds < 90) return relative.format(-Math.round(Math.max(0, seconds)), 'second');
  if (seconds < 5400) return relative.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 129_600) return relative.format(-Math.round(seconds / 3600), 'hour');
  return relative.format(-Math.round(seconds / 86_400), 'day');
}

/** What is no sign at all, or turns the writing round; but for what joins letters and chooses between their forms. */
const UNSEEN = /(?![\u200c\u200d\ufe00-\ufe0f\u{e0100}-\u{e01ef}])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{DI}]/gu;

/**
 * A name, or what a server wrote, as it may be shown: what cannot be seen becomes visible.
 * @param {unknown} text
 */
export const shown = (text) => String(text ?? '').replace(UNSEEN, '\ufffd');
