"""The contract that every method keeps, as functions to call on one of your own.

`check_transformation(opt)` checks a rule of your own and says in plain words which promise
broke; `check_regularizer(penalty)` does so for penalties and `check_operator(operator, penalty)`
for proximal operators and projections. The functions in `PROMISES` check one promise each.
"""

from gradlab.testing._contract import PROMISES as PROMISES
from gradlab.testing._contract import PROMISES_OF as PROMISES_OF
from gradlab.testing._contract import ContractError as ContractError
from gradlab.testing._contract import Report as Report
from gradlab.testing._contract import check_entry as check_entry
from gradlab.testing._contract import check_operator as check_operator
from gradlab.testing._contract import check_regularizer as check_regularizer
from gradlab.testing._contract import check_transformation as check_transformation
from gradlab.testing._memory import AS_USERS_COMPILE as AS_USERS_COMPILE
from gradlab.testing._memory import SIZE as SIZE
from gradlab.testing._memory import compiled_step as compiled_step
from gradlab.testing._memory import temporaries as temporaries
from gradlab.testing._subject import Subject as Subject
from gradlab.testing._subject import objectives as objectives
from gradlab.testing._subject import problem_params as problem_params
