/* `cofferdam run --detach`: the launcher goes on behind its caller's back, in a session of its own. */
#ifndef MONITOR_COMMAND_DETACH_H
#define MONITOR_COMMAND_DETACH_H

/* Before anything is opened. In the new process: GO_ON, with *told, which detach_let_go takes; it has /dev/null for
   input and output, its caller's standard error, descriptor `keep` if that is not negative, and nothing else. In the
   caller: once the other has let go, 0; once it has ended without, its exit status. */
int detach(int keep, int *told);

/* The guest runs, or is held: lets go of standard error and tells the caller. When nobody is there to hear it, the VM
   is stopped: nobody would know that it runs. */
void detach_let_go(int *told);

#endif
