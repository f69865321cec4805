/* Two-phase launch of a gang on three nodes: Prepare on all, Start when all have said Prepared, one
 * refusal or a silence stops all. Messages may be lost and are said again (the desired state is
 * level-triggered), nodes may refuse or die.
 *  - No member runs before every member was prepared.
 *  - A member that is gone takes all others with it: no part of a gang goes on alone.
 *  - When nothing happens any more, all members run, or none lives.
 * -DNO_PREPARE: members start when they are prepared themselves. -DNO_ROLL_BACK: a refusal stops
 * nobody else. */
#define MEMBERS 3

mtype = { NONE, STAGING, PREPARED, RUNNING, GONE };
mtype phase[MEMBERS] = NONE;  /* on the nodes */
mtype known[MEMBERS] = NONE;  /* as the scheduler knows it */
bool starting;                /* the scheduler has ordered the start */
bool stopping;                /* or the stop */
byte losses = 2;              /* words that may still be lost */

/* What every member is to be, as its node hears it at any time after a word was said. */
#define WANTS_RUN (starting && !stopping)

inline node_step(m) {
  atomic {
    if
    :: stopping && phase[m] != GONE -> phase[m] = GONE
    :: !stopping && phase[m] == NONE -> phase[m] = STAGING
    :: phase[m] == STAGING -> phase[m] = PREPARED
    :: phase[m] == STAGING -> phase[m] = GONE /* it refuses */
#ifdef NO_PREPARE
    :: phase[m] == PREPARED -> phase[m] = RUNNING
#else
    :: phase[m] == PREPARED && WANTS_RUN -> phase[m] = RUNNING
#endif
    :: phase[m] == RUNNING -> phase[m] = GONE /* the node dies */
    fi;
    /* No member runs before all are, or were, prepared. */
    assert(phase[m] != RUNNING || (starting &&
           known[0] != NONE && known[1] != NONE && known[2] != NONE &&
           known[0] != STAGING && known[1] != STAGING && known[2] != STAGING))
  }
}

proctype Node(byte m) {
end:
  do
  :: node_step(m)
  od
}

inline hear(m) {
  atomic {
    phase[m] != known[m] ->
    if
    :: losses > 0 -> losses-- /* it will be said again */
    :: known[m] = phase[m]
    fi
  }
}

active proctype Scheduler() {
  run Node(0);
  run Node(1);
  run Node(2);
end:
  do
  :: hear(0)
  :: hear(1)
  :: hear(2)
  :: atomic {
       !starting && !stopping && known[0] == PREPARED && known[1] == PREPARED &&
       known[2] == PREPARED -> starting = true
     }
#ifndef NO_ROLL_BACK
  :: atomic {
       !stopping && (known[0] == GONE || known[1] == GONE || known[2] == GONE) -> stopping = true
     }
#endif
  /* Everybody has heard and done all that there is: all or nothing. */
  :: atomic {
       timeout ->
       assert((phase[0] == GONE) == (phase[1] == GONE) && (phase[1] == GONE) == (phase[2] == GONE));
       break
     }
  od
}
