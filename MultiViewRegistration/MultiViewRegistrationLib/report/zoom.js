// Zoom into the X-rays: a click zooms in and out there; then wheel, drag and keys (+, -, 0, arrows) go on.
const CLICK = 2.5, MOST = 12, STEP = 1.25, DRAGGED = 4;
for (const stage of document.querySelectorAll(".stage")) {
  const layers = stage.firstElementChild;
  let scale = 1, x = 0, y = 0, drag = null;
  const show = () => {
    const { clientWidth: width, clientHeight: height } = stage;
    x = Math.min(0, Math.max(width * (1 - scale), x));
    y = Math.min(0, Math.max(height * (1 - scale), y));
    layers.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    stage.classList.toggle("zoomed", scale > 1);
  };
  const zoom = (wanted, left, top) => {
    const next = Math.min(MOST, Math.max(1, wanted));
    x = left - (left - x) * next / scale;
    y = top - (top - y) * next / scale;
    scale = next;
    show();
  };
  const place = event => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };
  stage.addEventListener("wheel", event => {
    if (!event.ctrlKey && !stage.contains(document.activeElement)) return;  // else the page could not be scrolled past it
    event.preventDefault();
    zoom(scale * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...place(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", event => {
    if (event.button) return;
    drag = { at: [event.clientX, event.clientY], from: [x, y], moved: false };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", event => {
    if (!drag) return;
    const [across, down] = [event.clientX - drag.at[0], event.clientY - drag.at[1]];
    drag.moved ||= Math.hypot(across, down) > DRAGGED;
    [x, y] = [drag.from[0] + across, drag.from[1] + down];
    if (drag.moved) show();
  });
  stage.addEventListener("pointerup", event => {
    if (drag && !drag.moved) {
      [x, y] = drag.from;
      zoom(scale > 1 ? 1 : CLICK, ...place(event));
    }
    drag = null;
  });
  stage.addEventListener("pointercancel", () => { drag = null; });
  stage.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const middle = [stage.clientWidth / 2, stage.clientHeight / 2], step = stage.clientWidth / 8;
    const act = {
      "+": () => zoom(scale * STEP, ...middle),
      "=": () => zoom(scale * STEP, ...middle),
      "-": () => zoom(scale / STEP, ...middle),
      0: () => zoom(1, ...middle),
      Escape: () => zoom(1, ...middle),
      ArrowLeft: () => { x += step; show(); },
      ArrowRight: () => { x -= step; show(); },
      ArrowUp: () => { y += step; show(); },
      ArrowDown: () => { y -= step; show(); },
    }[event.key];
    if (!act || (scale === 1 && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    act();
  });
  addEventListener("resize", show);
}
