/** Whether an objective of a session is met, as the daemon counts: true, or an object whose value or met is true. */
export const is_met = (one) => one === true || one?.value === true || one?.met === true;
