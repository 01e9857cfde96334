// Counts on how long a step has been running, from what the server said.
export function told(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function mount(element, clock = performance) {
  const began = clock.now() - Number(element.dataset.seconds) * 1000;
  const tick = () => {
    if (!element.isConnected) return;
    element.textContent = told((clock.now() - began) / 1000);
    setTimeout(tick, 1000);
  };
  tick();
}
