// The operations page: how things are at a glance, and its three parts.

import { begin, by, client, hasText, make, person, t, vector } from './page.js';
import { say } from './rows.js';
import { LiveUploads } from './ops-live.js';
import { DeadLetters } from './ops-dead.js';
import { showFleet } from './ops-fleet.js';
import * as format from './format.js';

/** How often what has no events is asked for, in milliseconds. */
const EVERY = 5_000;
const TABS = ['live', 'dead', 'fleet'];

function openTab(name, focuses = false) {
  for (const tab of TABS) {
    const isOpen = tab === name;
    by(`tab-${tab}`).setAttribute('aria-selected', String(isOpen));
    by(`tab-${tab}`).tabIndex = isOpen ? 0 : -1;
    by(`${tab}-panel`).hidden = !isOpen;
  }
  if (focuses) by(`tab-${name}`).focus();
  history.replaceState(null, '', `#${name}`);
  dispatchEvent(new Event('resize'));
}

function listenToTabs() {
  for (const [index, name] of TABS.entries()) {
    by(`tab-${name}`).addEventListener('click', () => openTab(name));
    by(`tab-${name}`).addEventListener('keydown', (event) => {
      const steps = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: TABS.length - 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      openTab(TABS[(steps[event.key] + TABS.length) % TABS.length], true);
    });
  }
  openTab(TABS.find((name) => `#${name}` === location.hash) ?? 'live');
}

/**
 * Draws the bytes of the last hour.
 * @param {{at: string, receivedBytes: number, shippedBytes: number}[]} minutes
 */
function drawPicture(minutes) {
  const picture = by('picture'), width = 600, height = 128;
  // The present minute has only begun: the rest of sixty seconds is taken from the one before.
  const [before, present] = minutes.slice(-2);
  const rest = 1 - Math.min(1, Math.max(0, (Date.now() - Date.parse(present.at)) / 60_000));
  const value = (minute, field) => minute[field] + (minute === present ? rest * before[field] : 0);
  const most = Math.max(...minutes.flatMap((minute) => [value(minute, 'receivedBytes'), value(minute, 'shippedBytes')]));
  const points = (field) => minutes.map((minute, index) => {
    const x = (index / (minutes.length - 1)) * width, y = height - (value(minute, field) / Math.max(most, 1)) * (height - 6);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join('L');
  picture.replaceChildren(
    vector('line', { class: 'axis', x1: 0, x2: width, y1: height, y2: height }),
    vector('line', { class: 'axis', x1: 0, x2: width, y1: 6, y2: 6, 'stroke-dasharray': '2 4' }),
    vector('path', { class: 'area', d: `M0 ${height}L${points('receivedBytes')}L${width} ${height}` }),
    vector('path', { class: 'received', d: `M${points('receivedBytes')}` }),
    vector('path', { d: `M${points('shippedBytes')}` }));
  const sum = (field) => minutes.reduce((total, minute) => total + minute[field], 0);
  const [received, shipped] = [format.bytes(sum('receivedBytes')), format.bytes(sum('shippedBytes'))];
  picture.setAttribute('aria-label', t('pictureText', { received, shipped, most: format.bytes(most) }));
  say(by('received-now'), `${t('received')} ${received}`);
  say(by('shipped-now'), `${t('shipped')} ${shipped}`);
  say(by('picture-from'), format.hour(new Date(minutes[0].at)));
  say(by('picture-most'), t('peak', { rate: format.rate(most / 60) }));
  say(by('picture-to'), format.hour(new Date(minutes[minutes.length - 1].at)));
}

async function showService() {
  // 503 has a document too.
  const response = await fetch('/readyz', { cache: 'no-store', signal: AbortSignal.timeout(30_000) });
  const { status, checks } = await response.json();
  const bad = Object.entries(checks).filter(([, check]) => !check.ok)
    .map(([name, check]) => `${t(name)}: ${t(format.shown(check.detail))}`);
  say(by('service'), hasText(`service.${status}`) ? t(`service.${status}`) : status);
  by('service').className = status === 'ready' ? 'good' : status === 'degraded' ? 'warn-text' : 'bad-text';
  say(by('service-more'), bad.length > 0 ? bad.join(' · ') : t('serviceOk'));
}

async function look(live, dead) {
  const parts = [
    showService(),
    client.throughput().then(({ minutes }) => drawPicture(minutes)),
    dead.load(),
    Promise.all([client.targets(), client.workers(), client.queues()]).then(([{ targets }, { workers }, queues]) => {
      showFleet(targets, workers, queues);
      const jobs = workers.reduce((sum, worker) => sum + worker.jobs, 0);
      const waiting = queues.queues.reduce((sum, queue) => sum + (queue.messages ?? 0), 0);
      say(by('worker-count'), format.count(workers.length));
      by('worker-count').className = workers.length > 0 ? '' : 'bad-text';
      say(by('worker-more'), `${t('runningJobs', { count: format.count(jobs), n: jobs })} · ${t('queuedJobs', { count: format.count(waiting), n: waiting })}`);
    }),
  ];
  // What does not answer stays as it was; the notice at the top tells of a server that is away.
  for (const result of await Promise.allSettled(parts)) {
    if (result.status === 'rejected' && result.reason?.status === 401) await client.signInAgain();
  }
  live.draw();
}

async function open() {
  if (!await begin('operator')) return;
  for (const id of ['live-target', 'dead-target']) {
    by(id).append(make('option', { value: '' }, t('any')), ...person.targets.map((name) => make('option', { value: name }, name)));
  }
  listenToTabs();
  const live = new LiveUploads(), dead = new DeadLetters();
  live.onFailure = () => dead.soon();
  live.start();
  for (;;) {
    await look(live, dead);
    await client.wait(document.hidden ? 4 * EVERY : EVERY);
  }
}

addEventListener('visibilitychange', () => { if (!document.hidden) client.wake(); });
open();
