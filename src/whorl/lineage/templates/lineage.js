"use strict";
(() => {
  const svg = document.getElementById("picture");
  const panel = document.getElementById("told");
  const nodes = new Map([...svg.querySelectorAll(".node")].map((node) => [node.dataset.id, node]));
  // Only along these does one model come from another: a common start is no descent.
  const edges = [...svg.querySelectorAll("[data-descent]")];
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  let view = { x: 0, y: 0, scale: 1 };
  let picked = null;

  const box = () => svg.getBoundingClientRect();
  function draw() {
    const { width: w, height: h } = box();
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${w / view.scale} ${h / view.scale}`);
  }
  function fit() {
    const { width: w, height: h } = box();
    const scale = Math.min(w / width, h / height, 1.4);
    // A picture too tall to be read whole starts at its top, at a size that can be read.
    const read = Math.max(scale, Math.min(w / width, 0.75));
    view = { x: Math.min(0, (width - w / read) / 2), y: read > scale ? 0 : (height - h / read) / 2, scale: read };
    draw();
  }
  function zoom(factor, atX, atY) {
    const { width: w, height: h } = box();
    const x = atX ?? w / 2;
    const y = atY ?? h / 2;
    const scale = Math.min(6, Math.max(0.08, view.scale * factor));
    view = { x: view.x + x / view.scale - x / scale, y: view.y + y / view.scale - y / scale, scale };
    draw();
  }
  function move(dx, dy) {
    view = { ...view, x: view.x + dx / view.scale, y: view.y + dy / view.scale };
    draw();
  }

  function reach(start, from, to) {
    const found = new Set([start]);
    for (const id of found) {
      for (const edge of edges) {
        if (edge.dataset[from] === id) found.add(edge.dataset[to]);
      }
    }
    return found;
  }
  function tell(id) {
    for (const card of panel.querySelectorAll(".card")) card.classList.toggle("shown", card.dataset.id === id);
    panel.classList.toggle("some", id !== null);
  }
  function pick(id) {
    picked = picked === id ? null : id;
    svg.classList.toggle("chosen", picked !== null);
    const older = picked === null ? new Set() : reach(picked, "child", "parent");
    const younger = picked === null ? new Set() : reach(picked, "parent", "child");
    for (const [name, node] of nodes) {
      node.classList.toggle("on", older.has(name) || younger.has(name));
      node.classList.toggle("picked", name === picked);
      node.setAttribute("aria-pressed", String(name === picked));
    }
    for (const edge of edges) {
      const { parent, child } = edge.dataset;
      edge.classList.toggle("on", (older.has(parent) && older.has(child)) || (younger.has(parent) && younger.has(child)));
    }
    tell(picked);
  }

  for (const [id, node] of nodes) {
    node.addEventListener("mouseenter", () => tell(id));
    node.addEventListener("mouseleave", () => tell(picked));
    node.addEventListener("focus", () => tell(id));
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(id); }
    });
  }
  let held = null;
  let moved = false;
  svg.addEventListener("pointerdown", (event) => { held = event; moved = false; });
  svg.addEventListener("pointermove", (event) => {
    if (held === null) return;
    if (!moved && Math.hypot(event.clientX - held.clientX, event.clientY - held.clientY) < 4) return;
    if (!moved) { moved = true; svg.setPointerCapture(event.pointerId); svg.classList.add("dragged"); }
    move(held.clientX - event.clientX, held.clientY - event.clientY);
    held = event;
  });
  const drop = () => { held = null; svg.classList.remove("dragged"); };
  svg.addEventListener("pointerup", drop);
  svg.addEventListener("pointercancel", drop);
  svg.addEventListener("click", (event) => {
    if (moved) { moved = false; return; }
    const node = event.target.closest(".node");
    if (node) pick(node.dataset.id); else if (picked !== null) pick(picked);
  });
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top } = box();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - left, event.clientY - top);
  }, { passive: false });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
    if (steps[event.key]) { event.preventDefault(); move(...steps[event.key]); }
    if (event.key === "+" || event.key === "=") zoom(1.25);
    if (event.key === "-") zoom(0.8);
    if (event.key === "0") fit();
    if (event.key === "Escape" && picked !== null) pick(picked);
  });
  for (const button of document.querySelectorAll(".tools button")) {
    button.addEventListener("click", () => ({ in: () => zoom(1.25), out: () => zoom(0.8), fit }[button.dataset.does])());
  }
  for (const link of document.querySelectorAll("[data-show]")) {
    link.addEventListener("click", () => { if (picked !== link.dataset.show) pick(link.dataset.show); });
  }
  document.querySelector(".tools").hidden = false;
  addEventListener("resize", draw);
  fit();
})();
