// The wires to Python: one for each tab's requests, and those that answer them.

import { word } from './config.js';

const channels = {};
const heard = {}; // by name: who listens
const waiting = {}; // by task: the card that waits for a comparison
const early = {}; // by task: what was asked before its wire was there

/** Called by a channel (ui/channel.py) once it is on the page. */
export function wire(name, channel) {
  channels[name] = channel;
  if (heard[name]) channel.listen(heard[name]);
  for (const data of early[name] ?? []) channel.act(data);
  delete early[name];
}

export function listen(name, hear) {
  heard[name] = hear;
  channels[name]?.listen(hear);
}

/** Ask the tab of a task to do something: an example, retry, continue, reproduce. */
export function act(task, data) {
  if (channels[task]) channels[task].act(data);
  else (early[task] ??= []).push(data);
}

/** Send a file through Gradio's own route; the answer is where the server put it. */
export function upload(name, file) { return channels[name].upload(file); }

/** The card that hears the next comparison of its task. */
export function awaitComparison(task, card) { waiting[task] = card; }

export function showComparison(task, result) {
  const card = waiting[task];
  if (!result || !card) return;
  waiting[task] = null;
  card.tell(result.message, !result.same);
}

/** Turn to the tab of a task, where a card elsewhere, as in My data, has asked for something. */
export function turnTo(task) {
  const name = word(`tab_${task}`);
  const tab = [...document.querySelectorAll('button[role="tab"]')]
    .find((button) => button.textContent.trim() === name);
  if (tab && tab.getAttribute('aria-selected') !== 'true') tab.click();
}
