# SPDX-License-Identifier: Apache-2.0
# fish completion for lodge(1)

set -l verbs run doctor version help
complete -c lodge -f
complete -c lodge -n "not __fish_seen_subcommand_from $verbs" -a run -d 'Boot a virtual machine'
complete -c lodge -n "not __fish_seen_subcommand_from $verbs" -a doctor -d 'Say what this host can do'
complete -c lodge -n "not __fish_seen_subcommand_from $verbs" -a version -d 'Print the version'
complete -c lodge -n "not __fish_seen_subcommand_from $verbs" -a help -d 'Explain a verb, or roadmap'
complete -c lodge -n '__fish_seen_subcommand_from help' -a 'run doctor version roadmap'
complete -c lodge -n '__fish_seen_subcommand_from doctor version' -l json -d 'As JSON'

set -l run '__fish_seen_subcommand_from run; and not contains -- -- (commandline -opc)'
complete -c lodge -n "$run" -l kernel -rF -d 'Kernel to boot'
complete -c lodge -n "$run" -l initrd -rF -d 'Initial RAM disk'
complete -c lodge -n "$run" -l append -x -d 'More for the command line of the kernel'
complete -c lodge -n "$run" -l disk -rF -d 'A disk, up to 8'
complete -c lodge -n "$run" -l firmware -rF -d 'Start firmware instead'
complete -c lodge -n "$run" -l firmware-vars -rF -d 'Variable store of the firmware'
complete -c lodge -n "$run" -s m -l memory -x -a '512M 1G 2G 4G' -d 'Memory'
complete -c lodge -n "$run" -s c -l cpus -x -a '1 2 4 8 16' -d 'Vcpus'
complete -c lodge -n "$run" -l accel -x -a 'auto kvm soft' -d 'Engine'
complete -c lodge -n "$run" -l cpu -x -a 'auto v1 v2 v3' -d 'CPU model'
complete -c lodge -n "$run" -s n -l name -x -d 'Name of the machine'
complete -c lodge -n "$run" -l hpet -d 'Add a high precision event timer'
complete -c lodge -n "$run" -l no-reboot -d 'End when the guest reboots'
complete -c lodge -n "$run" -l debug-exit -d 'A port that ends the machine'
complete -c lodge -n "$run" -l debugcon -rF -d 'File for the debug port of the firmware'
complete -c lodge -n "$run" -l stats -d 'Print at the end what the engine did'
complete -c lodge -n "$run" -l status-file -rF -d 'Write how it ended, as JSON'
complete -c lodge -n "$run" -l code-cache -x -d 'Memory for translated code per vcpu'
complete -c lodge -n "$run" -l soft-opts -x -d 'Switches for finding bugs'
complete -c lodge -n "$run" -s h -l help -d 'Print a summary'
