/* Epoch and lease: a scheduler, two nodes, two runs of which one is strict. A node may be cut off
 * at any time; its ranks live on. The scheduler gives a node up when it believes the lease is over
 * and places the run elsewhere under a higher epoch.
 *  - fence: of a run only the current epoch is published, whoever says what and when.
 *  - lease: the ranks of a strict run never compute on two nodes at once.
 * Who takes what an attempt made looks at a view that may be old; the core decides later and again.
 * Time is counted in ticks. The node's lease begins when its word was sent, the scheduler's when it
 * arrived, so the scheduler's is never shorter.
 * -DNO_FENCE, -DNO_LEASE take the guards away. */
#define NODES 2
#define RUNS 2
#define STRICT(r) ((r) == 0)
#define LEASE 2
#define EPOCHS 3 /* placements in all */

byte epoch[RUNS];          /* the run's current one; 0: none */
byte place[RUNS] = 255;    /* node of the current epoch */
byte finished[RUNS];       /* epoch that was published */
byte last_epoch;

byte ranks[4];             /* [node * RUNS + run]: epoch of living ranks; 0: none */
#define RANKS(n, r) ranks[(n) * RUNS + (r)]

byte scheduler_lease[NODES]; /* ticks left; 0: given up */
byte node_lease[NODES];      /* ticks left */
bool cut[NODES];

/* Facts on their way: at most one a node, an exit of (run, epoch). They may be late. */
byte fact_run[NODES] = 255;
byte fact_epoch[NODES];
bool admitted[NODES];      /* taken by what the view showed; the core has not decided yet */
byte view_epoch[RUNS];     /* the run's epoch at some moment before */

/* For the proof alone: what a fence is to keep from happening, told without looking at one. */
bool given_up[EPOCHS + 1]; /* another attempt of the same run was placed after it */
bool published[RUNS];

inline publish(r, e) {
  if
#ifndef NO_FENCE
  :: e != epoch[r] || finished[r] != 0 -> skip /* refused */
#endif
  :: else ->
     assert(!given_up[e]);  /* what is published is of no attempt that was given up */
     assert(!published[r]); /* and of one alone */
     published[r] = true;
     finished[r] = e
  fi
}

/* One tick: every lease is a tick shorter; the ranks of strict runs end with their node's. */
inline tick() {
  n = 0;
  do
  :: n < NODES ->
     if
     :: node_lease[n] > 0 -> node_lease[n]--
     :: else -> skip
     fi;
#ifndef NO_LEASE
     if
     :: node_lease[n] == 0 -> RANKS(n, 0) = 0
     :: else -> skip
     fi;
#endif
     n++
  :: else -> break
  od;
  n = 0;
  do
  :: n < NODES ->
     if
     :: scheduler_lease[n] > 0 -> scheduler_lease[n]--
     :: else -> skip
     fi;
     n++
  :: else -> break
  od;
  n = 0
}

active proctype World() {
  byte n, r;
  do
  /* A node's word arrives, and its answer. Sent now, it may arrive a tick later: then the node
   * counts from the sending. */
  :: atomic {
       select(n : 0 .. NODES - 1);
       if
       :: !cut[n] -> scheduler_lease[n] = LEASE; node_lease[n] = LEASE
       :: !cut[n] && node_lease[n] <= LEASE - 1 -> scheduler_lease[n] = LEASE; node_lease[n] = LEASE - 1
       :: !cut[n] -> scheduler_lease[n] = LEASE /* the answer is lost */
       :: else -> skip
       fi;
       n = 0
     }
  :: atomic { select(n : 0 .. NODES - 1); cut[n] = !cut[n]; n = 0 }
  :: atomic { tick() }
  /* Place a run: it waits, or its node was given up. */
  :: atomic {
       select(r : 0 .. RUNS - 1);
       select(n : 0 .. NODES - 1);
       if
       :: last_epoch < EPOCHS && finished[r] == 0 && scheduler_lease[n] > 0 && !cut[n] &&
          node_lease[n] > 0 && (epoch[r] == 0 || scheduler_lease[place[r]] == 0) &&
          RANKS(n, r) == 0 ->
          if
          :: STRICT(r) -> assert(RANKS(0, r) == 0 && RANKS(1, r) == 0)
          :: else -> skip
          fi;
          last_epoch++;
          given_up[epoch[r]] = (epoch[r] != 0);
          epoch[r] = last_epoch;
          place[r] = n;
          RANKS(n, r) = last_epoch
       :: else -> skip
       fi;
       n = 0; r = 0
     }
  /* Ranks end well; the fact waits on the node's disk. */
  :: atomic {
       select(n : 0 .. NODES - 1);
       select(r : 0 .. RUNS - 1);
       if
       :: RANKS(n, r) != 0 && fact_run[n] == 255 ->
          fact_run[n] = r; fact_epoch[n] = RANKS(n, r); RANKS(n, r) = 0
       :: else -> skip
       fi;
       n = 0; r = 0
     }
  /* The view follows, in its own time. */
  :: atomic { select(r : 0 .. RUNS - 1); view_epoch[r] = epoch[r]; r = 0 }
  /* A fact arrives, as late as it may be, and is taken or refused by the view. */
  :: atomic {
       select(n : 0 .. NODES - 1);
       if
       :: !cut[n] && fact_run[n] != 255 && !admitted[n] ->
          if
          :: fact_epoch[n] == view_epoch[fact_run[n]] -> admitted[n] = true
          :: else -> fact_run[n] = 255; fact_epoch[n] = 0
          fi
       :: else -> skip
       fi;
       n = 0
     }
  /* The core decides. */
  :: atomic {
       select(n : 0 .. NODES - 1);
       if
       :: admitted[n] ->
          publish(fact_run[n], fact_epoch[n]);
          fact_run[n] = 255; fact_epoch[n] = 0; admitted[n] = false
       :: else -> skip
       fi;
       n = 0
     }
  od
}
