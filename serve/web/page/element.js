// Creates an HTML element with a text and attributes. Both pages use it.
"use strict";

function element(name, text = "", attributes = {}) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.textContent = text;
  return created;
}
