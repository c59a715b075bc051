// Targets with their queues, and workers.

import { by, hasText, make, t } from './page.js';
import * as format from './format.js';

/** What operators look for; all else that a target tells is folded away. */
const FIRST = ['server', 'merge', 'verify', 'freeBytes', 'sessions'];
/** The cards of targets, which stay: what somebody unfolded stays so. @type {Map<string, HTMLElement>} */
const cards = new Map();

const fact = (label, value) =>
  (value === null || value === undefined || value === '' ? [] : [make('dt', {}, label), make('dd', {}, value)]);

/**
 * @param {any[]} targets
 * @param {any[]} workers
 * @param {{available: boolean, queues: any[]}} queues
 */
export function showFleet(targets, workers, queues) {
  for (const [id, card] of cards) if (!targets.some((target) => target.id === id)) { card.remove(); cards.delete(id); }
  for (const target of targets) {
    let card = cards.get(target.id);
    if (!card) {
      card = make('section.card', {}, make('div', {}, make('h3.ellipsis', {}, target.id), make('span.pill')),
        make('dl.facts'), make('details', {}, make('summary', {}, t('details.more')), make('dl.facts')));
      cards.set(target.id, card);
      by('targets').append(card);
    }
    fillTarget(card, target, queues);
  }
  by('workers').replaceChildren(...(workers.length === 0 ? [make('p.empty.card.bad-text', {}, t('noWorkers'))]
    : workers.map((worker) => make('section.card', {},
      make('div', {}, make('h3.ellipsis', {}, worker.name), make('span.pill.good', {}, t('runningJobs', { count: format.count(worker.jobs), n: worker.jobs }))),
      make('dl.facts', {}, ...fact(t('host'), worker.host), ...fact(t('process'), String(worker.process)),
        ...fact(t('version'), worker.version), ...fact(t('serves'), worker.targets.join(', ')),
        ...fact(t('started'), format.time(worker.startedAt)), ...fact(t('seen'), format.ago(worker.seenAt)))))));
}

function fillTarget(card, target, queues) {
  const [head, facts, more] = card.children;
  const [tone, word] = target.reachable === null ? ['', 'unknown'] : target.reachable ? ['good', 'reachable'] : ['bad-text', 'unreachable'];
  head.lastChild.className = `pill ${tone}`;
  head.lastChild.textContent = t(word);
  // What the target says of itself is as strange as a file's name.
  const told = Object.fromEntries(Object.entries(target.facts).map(([name, value]) => [name, format.shown(value)]));
  const values = {
    ...told,
    sessions: format.count(target.sessions),
    server: told.server?.replace(/^SSH-2\.0-/, ''),
    merge: [told.merge, told.mergeReason].filter(Boolean).join(' · '),
    freeBytes: told.freeBytes && format.bytes(Number(told.freeBytes)),
  };
  const depths = queues.queues.filter((queue) => queue.target === target.id).flatMap((queue) =>
    fact(`${t('waitingJobs')} (${t(queue.kind)})`, queue.messages === null ? t('brokerAway')
      : `${format.count(queue.messages)} · ${t('consumers')} ${format.count(queue.consumers ?? 0)}`));
  facts.replaceChildren(
    ...fact(t('breaker'), target.breaker === null ? '' : hasText(`breaker.${target.breaker}`) ? t(`breaker.${target.breaker}`) : target.breaker),
    ...FIRST.flatMap((name) => fact(t(`fact.${name}`), values[name])), ...depths,
    ...fact(t('lastError'), format.shown(target.error)),
    ...fact(t('seen'), target.seenAt ? format.ago(target.seenAt) : ''));
  const others = Object.entries(told).filter(([name]) => !FIRST.includes(name) && name !== 'mergeReason').sort(([one], [other]) => (one < other ? -1 : 1));
  more.hidden = others.length === 0;
  more.lastChild.replaceChildren(...others.flatMap(([name, value]) => fact(name, value)));
}
