/* SPDX-License-Identifier: Apache-2.0 */
/* Between the PCI bus and its functions. */
#ifndef LODGE_DEVICES_PCI_PCI_INTERNAL_H
#define LODGE_DEVICES_PCI_PCI_INTERNAL_H

#include "base/mem.h"
#include "devices/pci/pci.h"

/* Registers back to their initial values; BARs stay mapped until the bus looks. */
void pci_function_load_initial(struct pci_function *fn);
uint64_t pci_bar_address(const struct pci_function *fn, unsigned index);
/* Decoded, and at an address where it can be. */
bool pci_bar_enabled(const struct pci_function *fn, unsigned index);
uint64_t pci_function_read(struct pci_function *fn, unsigned offset, unsigned size);
/* Masks only; mapping and hooks are the bus's. */
void pci_function_write(struct pci_function *fn, unsigned offset, unsigned size, uint64_t value);

#endif
