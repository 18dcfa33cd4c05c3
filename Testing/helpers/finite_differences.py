"""What derivatives are held against: how much a cost changes by small steps."""

import numpy as np

from MultiViewRegistrationLib.registration.problem import moved


def changes(value, steps):
    """Half of what `value` changes by from minus to plus each step: `steps @ gradient`, where that is right."""
    return np.array([value(step) - value(-step) for step in steps]) / 2


def half_cost(objective, poses):
    """Half of the cost of bones as a function of the twists (6 for each) by which they move about their middles."""
    pivots = objective.pivots(poses)

    def cost(twists):
        each = zip(poses, twists.reshape(-1, 6), pivots, strict=True)
        shadows = objective.shadows([moved(*one) for one in each], jacobian=False)
        return objective.cost(shadows) / 2

    return cost


def cost_of(problem, state):
    """The cost of a problem as a function of a step from a state."""

    def cost(step):
        trial = problem.moved(state, step)
        return problem.cost(trial, problem.evaluate(trial))

    return cost
