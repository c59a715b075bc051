// Targets with their queues, and workers.

import { by, hasText, make, t } from './page.js';
import * as format from './format.js';

const FIRST = ['server', 'merge', 'verify', 'freeBytes', 'sessions'];

const fact = (label, value) =>
  (value === null || value === undefined || value === '' ? [] : [make('dt', {}, label), make('dd', {}, value)]);

/**
 * @param {any[]} targets
 * @param {any[]} workers
 * @param {{available: boolean, queues: any[]}} queues
 */
export function showFleet(targets, workers, queues) {
  by('targets').replaceChildren(...targets.map((target) => card(target, queues)));
  by('workers').replaceChildren(...(workers.length === 0 ? [make('p.empty.card.bad-text', {}, t('noWorkers'))]
    : workers.map((worker) => make('section.card', {},
      make('div', {}, make('h3.ellipsis', {}, worker.name), make('span.pill.good', {}, t('runningJobs', { count: format.count(worker.jobs), n: worker.jobs }))),
      make('dl.facts', {}, ...fact(t('host'), worker.host), ...fact(t('process'), String(worker.process)),
        ...fact(t('version'), worker.version), ...fact(t('serves'), worker.targets.join(', ')),
        ...fact(t('started'), format.time(worker.startedAt)), ...fact(t('seen'), format.ago(worker.seenAt)))))));
}

function card(target, queues) {
  const [tone, word] = target.reachable === null ? ['', 'unknown'] : target.reachable ? ['good', 'reachable'] : ['bad-text', 'unreachable'];
  // What operators look for comes first.
  const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const facts = Object.entries(target.facts).sort(([one], [other]) => place(one) - place(other)).flatMap(([name, value]) => {
    const label = hasText(`fact.${name}`) ? t(`fact.${name}`) : name;
    return fact(label, name === 'freeBytes' ? format.bytes(Number(value)) : value);
  });
  const depths = queues.queues.filter((queue) => queue.target === target.id).flatMap((queue) =>
    fact(`${t('waitingJobs')} (${t(queue.kind)})`, queue.messages === null ? t('brokerAway')
      : `${format.count(queue.messages)} · ${t('consumers')} ${format.count(queue.consumers ?? 0)}`));
  return make('section.card', {},
    make('div', {}, make('h3.ellipsis', {}, target.id), make(`span.pill${tone && `.${tone}`}`, {}, t(word))),
    make('dl.facts', {},
      ...fact(t('breaker'), target.breaker === null ? '' : hasText(`breaker.${target.breaker}`) ? t(`breaker.${target.breaker}`) : target.breaker),
      ...facts, ...depths, ...fact(t('lastError'), target.error), ...fact(t('seen'), target.seenAt ? format.ago(target.seenAt) : '')));
}
