// What the theme leaves out for readers who use a keyboard or a screen reader.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  // A table that scrolls in itself must be reachable without a pointer.
  const reachable = () => {
    for (const table of document.querySelectorAll(".bd-article table")) {
      if (table.scrollWidth > table.clientWidth) table.setAttribute("tabindex", "0");
      else table.removeAttribute("tabindex");
    }
  };
  reachable();
  window.addEventListener("resize", reachable);
  // The bibliography calls itself a list, but its entries are not list items.
  for (const list of document.querySelectorAll(".citation-list[role=list]")) list.removeAttribute("role");
});
