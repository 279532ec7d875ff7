/* The four words every element uses. */
export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export const define = (name, element) => customElements.get(name) || customElements.define(name, element);
export const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
/* Strings come from the markup, so that they are translated once, on the server. */
export const say = name => document.body.dataset[name] ?? "";
